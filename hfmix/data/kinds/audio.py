"""A column of sound clips, decoded when they are asked for."""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import soundfile
from datasets import Audio
from torch import Tensor
from torch.utils.data import default_collate

from hfmix.data.kinds.base import FileCells, Kind, imported_on_call

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sound:
    """A clip.

    Attributes:
        samples: (L,) float32 in [-1, 1], one channel.
        sampling_rate: samples a second, in Hz.
    """

    samples: np.ndarray
    sampling_rate: int

    def at(self, sampling_rate: int) -> "Sound":
        """The clip at another rate, by a polyphase filter (scipy's `resample_poly`)."""
        if sampling_rate == self.sampling_rate:
            return self
        from scipy.signal import resample_poly  # takes a while to import

        common = gcd(sampling_rate, self.sampling_rate)
        samples = resample_poly(self.samples, sampling_rate // common, self.sampling_rate // common)
        return Sound(samples.astype(np.float32), sampling_rate)


class SoundCells(FileCells):
    """A column of clips as they are stored."""

    kind = "audio"
    feature = Audio(decode=False)

    @staticmethod
    def decode(cell: dict[str, Any] | None, where: str) -> Sound:
        """Decodes a cell, ``{"bytes": …, "path": …}``, and averages its channels to one.

        Raises:
            ValueError: it cannot be read, is empty, or holds values that are not finite; `where` names it.
        """
        try:
            source = io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
            samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        except Exception as error:  # libsndfile's errors, an empty cell, a path that is not there
            path = f" ({cell['path']})" if cell and cell.get("path") else ""
            raise ValueError(f"{where}{path} is not sound that can be read: {error}") from error
        if not len(samples):
            raise ValueError(f"{where} is a clip without samples")
        if not np.isfinite(samples).all():
            raise ValueError(f"{where} holds samples that are not finite")
        return Sound(samples.mean(axis=1, dtype=np.float32), rate)

    @staticmethod
    def content(sound: Sound) -> bytes:
        """What makes the clip this one and no other: its rate and its samples, at 16 bits."""
        levels = np.round(sound.samples * 32768).clip(-32768, 32767).astype("<i2")
        return f"{sound.sampling_rate}".encode() + levels.tobytes()


class SoundPreprocessor:
    """A feature extractor: clips are brought to its sampling rate, and those of a batch to one length.

    Args:
        processor: transformers' feature extractor, or any callable ``(audio=..., sampling_rate=...,
            return_tensors="pt")`` that gives the model's inputs.

    Attributes:
        sampling_rate: in Hz, of what the model takes; None where the processor does not tell.
        max_batch_size: 1 where clips of different lengths cannot be told from their padding: wav2vec2's models
            with group normalisation take no mask, and what they say of a clip depends on the padding beside it.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        extractor = getattr(processor, "feature_extractor", processor)
        self.sampling_rate: int | None = getattr(extractor, "sampling_rate", None)
        # transformers' own kind, told by what it can do: a plain torch user need not import the library
        self._extractor = (
            extractor if hasattr(extractor, "pad") and hasattr(extractor, "model_input_names") else None
        )
        self._said = False

    @property
    def wants_mask(self) -> bool:
        """Whether the model is told which samples are padding."""
        return bool(getattr(self._extractor, "return_attention_mask", False))

    @property
    def max_batch_size(self) -> int | None:
        """See the class."""
        return 1 if self._lengths_vary and not self.wants_mask else None

    @property
    def _lengths_vary(self) -> bool:
        """Whether what it gives is as long as the clip, not a spectrogram of a fixed length."""
        extractor = self._extractor
        return extractor is not None and clip_seconds(extractor) is None and not hasattr(extractor, "max_length")

    def features(self, example: Sound) -> dict[str, Tensor]:
        """A clip at the model's rate, as the processor gives it."""
        if self.sampling_rate not in (None, example.sampling_rate) and not self._said:
            logger.warning("clips of %d Hz are resampled to %d Hz", example.sampling_rate, self.sampling_rate)
            self._said = True
        example = example if self.sampling_rate is None else example.at(self.sampling_rate)
        settings = {"sampling_rate": example.sampling_rate, "return_tensors": "pt"}
        if self._extractor is None:
            found = self.processor(audio=example.samples, **settings)
        else:
            found = self._extractor(example.samples, **settings)
        return {name: value[0] for name, value in found.items() if isinstance(value, Tensor)}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch; clips of different lengths are padded with zeros, and masked where the model takes a mask."""
        if not self._lengths_vary:
            return default_collate(list(rows))
        name = self._extractor.model_input_names[0]
        clips = [{name: row[name].numpy()} for row in rows]
        batch = dict(
            self._extractor.pad(clips, padding=True, return_attention_mask=self.wants_mask, return_tensors="pt")
        )
        if "labels" in rows[0]:
            batch |= default_collate([{"labels": row["labels"]} for row in rows])
        return batch

    def inputs(self, examples: Sequence[Sound]) -> dict[str, Tensor]:
        """The model's inputs for a batch of clips."""
        return self.collate([self.features(example) for example in examples])


def clip_seconds(extractor: Any) -> float | None:
    """The length that a feature extractor cuts and pads clips to, where it says so in seconds."""
    return getattr(extractor, "clip_seconds", None) or getattr(extractor, "chunk_length", None)


AUDIO = Kind("audio", SoundCells, SoundPreprocessor, imported_on_call("hfmix.data.augment.audio", "ToFeatures"))
