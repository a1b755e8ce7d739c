"""What a model's processor makes of images, sound and tables, one example or a batch at a time."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from hfmix.data.sounds import Sound
from hfmix.data.tables import Row

logger = logging.getLogger(__name__)


class Preprocessor(Protocol):
    """`ImagePreprocessor`, `SoundPreprocessor` or `TablePreprocessor`."""

    max_batch_size: int | None

    def features(self, example: Any) -> dict[str, Tensor]:
        """A model's inputs for one example, without the dimension of the batch."""

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch from what `features` gave, labels among it."""

    def inputs(self, examples: Sequence[Any]) -> dict[str, Tensor]:
        """A batch of a model's inputs."""


def preprocessor_for(kind: str, processor: Any) -> Preprocessor:
    """The one for a kind of data, "image", "audio" or "table"."""
    kinds = {"image": ImagePreprocessor, "audio": SoundPreprocessor, "table": TablePreprocessor}
    return kinds[kind](processor)


class TablePreprocessor:
    """A table's processor.

    Args:
        processor: `TableProcessor`, or any callable ``(rows, return_tensors="pt")`` that gives a model's inputs
            for a list of rows, each a mapping from columns to numbers and words.
    """

    max_batch_size = None

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def features(self, example: Row) -> dict[str, Tensor]:
        """A row's."""
        return {name: value[0] for name, value in self.inputs([example]).items()}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch, stacked."""
        return default_collate(list(rows))

    def inputs(self, examples: Sequence[Row]) -> dict[str, Tensor]:
        """A batch's."""
        return dict(self.processor(list(examples), return_tensors="pt"))


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


class ImagePreprocessor:
    """The two halves of an image processor: resize and crop first, normalisation after.

    Args:
        processor: any callable ``(images=..., return_tensors="pt")`` that gives ``pixel_values``. Where it tells
            its mean and standard deviation (timm's, transformers'), it can be taken apart, so that corruption can
            go between.
    """

    max_batch_size: int | None = None

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.statistics = _statistics(processor)

    @property
    def separable(self) -> bool:
        """Whether normalisation can be undone; if not, corruption has to come before the processor."""
        return self.statistics is not None

    def features(self, example: Image.Image) -> dict[str, Tensor]:
        """The model's input for one image."""
        return {"pixel_values": self.pixel_values([example])[0]}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """A batch: images of the model's size are stacked."""
        return default_collate(list(rows))

    def inputs(self, examples: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The model's inputs for a batch of images."""
        return {"pixel_values": self.pixel_values(list(examples))}

    def pixel_values(self, images: list[Image.Image]) -> Tensor:
        """(B, C, H, W), the model's input, as the processor gives it."""
        return self.processor(images=images, return_tensors="pt")["pixel_values"]

    def levels(self, pixel_values: Tensor) -> Tensor:
        """(B, H, W, C) uint8: what the processor saw after resize and crop."""
        mean, std = (t.to(pixel_values.device) for t in self.statistics)
        return ((pixel_values * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def normalize(self, levels: Tensor, memory_format: torch.memory_format = torch.preserve_format) -> Tensor:
        """(B, C, H, W) float32, the model's input, from (B, H, W, C) uint8."""
        mean, std = (t.to(levels.device) for t in self.statistics)
        pixels = levels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return pixels.div_(255).sub_(mean).div_(std)


def _statistics(processor: Any) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation on [0, 1], each (C, 1, 1), or None where the processor does not tell."""
    if hasattr(processor, "data_config"):  # timm's
        mean, std = processor.data_config["mean"], processor.data_config["std"]
    elif getattr(processor, "do_rescale", False) and abs(getattr(processor, "rescale_factor", 0) * 255 - 1) < 1e-6:
        normalizes = getattr(processor, "do_normalize", False)
        mean, std = (processor.image_mean, processor.image_std) if normalizes else ([0.0] * 3, [1.0] * 3)
    else:
        return None
    return tuple(torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (mean, std))


def input_size(processor: Any) -> tuple[int, int]:
    """(height, width) of the images that the processor gives.

    Raises:
        ValueError: the processor does not tell.
    """
    if hasattr(processor, "data_config"):  # timm's
        return tuple(processor.data_config["input_size"][1:])
    for name in ("crop_size", "size"):
        size = getattr(processor, name, None)
        if name == "crop_size" and not getattr(processor, "do_center_crop", False):
            continue
        if size and "height" in size:
            return size["height"], size["width"]
        if size and "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
    raise ValueError(f"{type(processor).__name__} does not tell the size of its images: use augmentation none")
