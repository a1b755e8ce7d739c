"""Sound: clips as they are stored, decoded and preprocessed."""

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import soundfile
from datasets import Audio
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from hfmix.data.kinds.base import FileCells, Kind, imported_on_call, unreadable

logger = logging.getLogger(__name__)

_NOTICED: set[tuple[int, int]] = set()  # the resampling that was warned of


@dataclass(frozen=True, eq=False)
class Sound:
    """A clip of sound.

    Attributes:
        samples: (L,) float32 in [-1, 1], one channel.
        sampling_rate: in Hz.
    """

    samples: np.ndarray
    sampling_rate: int

    def at(self, sampling_rate: int) -> "Sound":
        """Resamples the clip with a polyphase filter (scipy's `resample_poly`)."""
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
    fact_names = ("sampling_rate", "seconds")

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
            raise unreadable(cell, where, SoundCells.kind, error) from error
        path = f" ({cell['path']})" if cell.get("path") else ""
        if not len(samples):
            raise ValueError(f"{where}{path} is a clip without samples")
        if not np.isfinite(samples).all():
            raise ValueError(f"{where}{path} holds samples that are not finite")
        return Sound(samples.mean(axis=1, dtype=np.float32), rate)

    @staticmethod
    def facts(cell: dict[str, Any] | None, where: str) -> tuple[float, float]:
        """Returns a clip's sampling rate in Hz and its length in seconds.

        Raises:
            ValueError: as `decode`.
        """
        sound = SoundCells.decode(cell, where)
        return sound.sampling_rate, len(sound.samples) / sound.sampling_rate

    @staticmethod
    def content(sound: Sound) -> bytes:
        """Returns the bytes that identify a clip: its rate and its samples at 16 bits."""
        levels = np.round(sound.samples * 32768).clip(-32768, 32767).astype("<i2")
        return f"{sound.sampling_rate}".encode() + levels.tobytes()


class SoundPreprocessor:
    """A feature extractor, with resampling to its rate and padding of a batch to one length.

    Args:
        processor: a feature extractor of transformers, or any callable ``(audio=..., sampling_rate=...,
            return_tensors="pt")`` that returns the model's inputs.

    Attributes:
        sampling_rate: the model's, in Hz; None if the processor does not state it.
        max_batch_size: 1 if the model cannot tell a clip from its padding: wav2vec2 models with group
            normalisation take no mask, so that padding changes their predictions. Otherwise None.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        extractor = getattr(processor, "feature_extractor", processor)
        self.sampling_rate: int | None = getattr(extractor, "sampling_rate", None)
        # an extractor of transformers, recognised by its attributes: plain torch users need not import the library
        self._extractor = (
            extractor if hasattr(extractor, "pad") and hasattr(extractor, "model_input_names") else None
        )

    @property
    def wants_mask(self) -> bool:
        """Tells whether the model takes a mask of the padding."""
        return bool(getattr(self._extractor, "return_attention_mask", False))

    @property
    def max_batch_size(self) -> int | None:
        """Returns the largest batch that the model can take; see the class."""
        return 1 if self._lengths_vary and not self.wants_mask else None

    @property
    def _lengths_vary(self) -> bool:
        """Tells whether features are as long as their clip, not a spectrogram of a fixed length."""
        extractor = self._extractor
        return extractor is not None and clip_seconds(extractor) is None and not hasattr(extractor, "max_length")

    def features(self, example: Sound) -> dict[str, Tensor]:
        """Computes the model's inputs for one clip, resampled to the model's rate."""
        if self.sampling_rate not in (None, example.sampling_rate):
            notice_resampling(example.sampling_rate, self.sampling_rate)
        example = example if self.sampling_rate is None else example.at(self.sampling_rate)
        settings = {"sampling_rate": example.sampling_rate, "return_tensors": "pt"}
        if self._extractor is None:
            inputs = self.processor(audio=example.samples, **settings)
        else:
            inputs = self._extractor(example.samples, **settings)
        return {name: value[0] for name, value in inputs.items() if isinstance(value, Tensor)}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Makes a batch; pads clips of different lengths with zeros, with a mask if the model takes one."""
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
        """Computes the model's inputs for a batch of clips."""
        return self.collate([self.features(example) for example in examples])


def notice_resampling(from_rate: int, to_rate: int) -> None:
    """Warns that clips are resampled: once a run for each pair of rates, in Hz.

    That is once in the main process, whose workers inherit that it is done; of several processes, in the first.
    """
    worker = get_worker_info()
    is_first = os.environ.get("RANK", "0") == "0" and (worker is None or worker.id == 0)
    if is_first and (from_rate, to_rate) not in _NOTICED:
        logger.warning("clips of %d Hz are resampled to %d Hz", from_rate, to_rate)
    _NOTICED.add((from_rate, to_rate))


def clip_seconds(extractor: Any) -> float | None:
    """Returns the length in seconds to which an extractor cuts and pads clips; None if it states none."""
    return getattr(extractor, "clip_seconds", None) or getattr(extractor, "chunk_length", None)


def shortest_clip(model: Any, processor: Any) -> float | None:
    """Returns the length in seconds of the shortest clip that a model takes; None if it takes any.

    It is the length from which wav2vec2 and its kin, with convolutions over the samples, make one frame; clips for
    models of spectrograms are padded.
    """
    config = getattr(model, "config", None)
    kernels, strides = (getattr(config, name, None) for name in ("conv_kernel", "conv_stride"))
    rate = SoundPreprocessor(processor).sampling_rate
    if rate is None or not isinstance(kernels, list | tuple) or not isinstance(strides, list | tuple):
        return None
    samples = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples / rate


AUDIO = Kind("audio", SoundCells, SoundPreprocessor, imported_on_call("hfmix.data.augment.audio", "ToFeatures"))
