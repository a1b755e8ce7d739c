"""A model as a function of what an attacker can change: pixels or samples, in their own range."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.data.kinds.base import Preprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.kinds.table import TablePreprocessor
from hfmix.utils.model_calls import call_model

# float32 rounding of pixels whose normalisation is undone
_ROUNDING = 1e-3


def attacked_model(model: nn.Module, preprocessor: Preprocessor) -> "AttackedModel":
    """Wraps a model with the part of its processor that works on values, not on shapes.

    Args:
        model: gives logits, or an output with `.logits`; it is not changed.
        preprocessor: makes the model's inputs, from `hfmix.data.kinds.preprocessor_for`.

    Raises:
        ValueError: no gradient can reach the input through this processor; the message says why.
    """
    if isinstance(preprocessor, TablePreprocessor):
        raise ValueError("rows of a table cannot be attacked: their columns have no range in common")
    if isinstance(preprocessor, ImagePreprocessor):
        return AttackedImages(model, preprocessor)
    return _attacked_sound(model, preprocessor)


class AttackedModel(nn.Module, ABC):
    """A classifier as a function from inputs in `bounds` to logits.

    Attributes:
        model: the wrapped model.
        bounds: smallest and largest value of an input.
        applied: where the perturbation is applied, for reports.
    """

    bounds: tuple[float, float]
    applied: str

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    @abstractmethod
    def prepare(self, examples: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """Returns inputs in `bounds`, (B, ...); for clips also their lengths, (B,), with zeros beyond them."""

    @abstractmethod
    def model_inputs(self, x: Tensor) -> Mapping[str, Tensor]:
        """Returns the wrapped model's own inputs for (B, ...) in `bounds`."""

    def inputs(self, examples: Sequence[Any]) -> Tensor:
        """Returns inputs in `bounds`, (B, ...).

        Raises:
            ValueError: clips of different lengths, which the model has to know.
        """
        x, lengths = self.prepare(examples)
        if lengths is not None and (lengths != x.shape[1]).any():
            raise ValueError("clips of different lengths: call prepare(examples) and of_lengths(lengths)")
        return x

    def of_lengths(self, lengths: Tensor | None) -> "AttackedModel":
        """Returns the model for one batch of clips of these lengths, (B,); None (for images) changes nothing."""
        return self

    def mask(self, x: Tensor) -> Tensor | None:
        """Returns booleans like x, False on padding; None if there is no padding."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, ...) in `bounds` to logits, (B, C)."""
        return call_model(self.model, self.model_inputs(x))


class AttackedImages(AttackedModel):
    """An image classifier that takes resized and cropped images (B, C, H, W) in [0, 1] and normalises them itself.

    Args:
        model: the model to wrap.
        preprocessor: the model's preprocessor.

    Raises:
        ValueError: the processor does not state its mean and standard deviation.
    """

    bounds = (0.0, 1.0)
    applied = "after resize and crop, before normalisation"

    def __init__(self, model: nn.Module, preprocessor: ImagePreprocessor) -> None:
        super().__init__(model)
        if not preprocessor.separable:
            raise ValueError(
                f"the processor, {_name(preprocessor.processor)}, does not state the mean and standard deviation "
                "of its normalisation: its images cannot be attacked in their own range"
            )
        self.preprocessor = preprocessor
        device = next((parameter.device for parameter in model.parameters()), None)
        for name, values in zip(("mean", "std"), preprocessor.statistics, strict=True):
            self.register_buffer(name, values.to(device), persistent=False)

    def prepare(self, examples: Sequence[Image.Image]) -> tuple[Tensor, None]:
        """Returns resized and cropped images, and None.

        Raises:
            ValueError: the processor does more than it states.
        """
        mean, std = self.preprocessor.statistics
        x = self.preprocessor.pixel_values(list(examples)) * std + mean
        low, high = (float(value) for value in x.aminmax())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise ValueError(
                f"the processor, {_name(self.preprocessor.processor)}, states a normalisation by which its images "
                f"lie in [{low:.3g}, {high:.3g}], not in [0, 1]: they cannot be attacked in their own range"
            )
        return x.clamp_(0, 1), None

    def model_inputs(self, x: Tensor) -> Mapping[str, Tensor]:
        """Returns normalised images."""
        return {"pixel_values": (x - self.mean) / self.std}


class AttackedSound(AttackedModel):
    """An audio classifier that takes clips (B, L) in [-1, 1] at its sampling rate and extracts features itself.

    Args:
        model: the model to wrap.
        preprocessor: the model's preprocessor.
        extractor: the preprocessor's feature extractor.
        lengths: lengths (B,) of one batch's clips; None if nothing is padded.
    """

    bounds = (-1.0, 1.0)
    applied = "to the clip, at the model's sampling rate"

    def __init__(
        self, model: nn.Module, preprocessor: SoundPreprocessor, extractor: Any, lengths: Tensor | None = None
    ) -> None:
        super().__init__(model)
        self.preprocessor = preprocessor
        self.extractor = extractor
        self.lengths = lengths

    def of_lengths(self, lengths: Tensor | None) -> "AttackedSound":
        """Returns the model for one batch of clips of these lengths, (B,)."""
        return type(self)(self.model, self.preprocessor, self.extractor, lengths)

    def prepare(self, examples: Sequence[Sound]) -> tuple[Tensor, Tensor]:
        """Returns clips padded with zeros to the longest, and their lengths.

        Overshoots of resampling beyond ±1 are clipped.
        """
        clips = [torch.from_numpy(np.ascontiguousarray(self.clip(example))) for example in examples]
        lengths = torch.tensor([len(clip) for clip in clips])
        return pad_sequence(clips, batch_first=True).clamp_(-1, 1), lengths

    def clip(self, example: Sound) -> np.ndarray:
        """Returns the samples that the model hears, (L,) float32."""
        rate = self.preprocessor.sampling_rate
        return (example if rate is None else example.at(rate)).samples

    def mask(self, x: Tensor) -> Tensor:
        """Returns booleans (B, L), False on padding."""
        places = torch.arange(x.shape[1], device=x.device)
        return places < self._lengths_of(x)[:, None]

    def _lengths_of(self, x: Tensor) -> Tensor:
        if self.lengths is None:
            return torch.full((len(x),), x.shape[1], device=x.device)
        return self.lengths.to(x.device)


class AttackedLogMel(AttackedSound):
    """An audio classifier behind `LogMelFeatureExtractor`, which makes spectrograms of clips."""

    def clip(self, example: Sound) -> np.ndarray:
        """Returns the clip, or its middle if it is longer than the extractor's clips."""
        return self.extractor.cut(super().clip(example))

    def model_inputs(self, x: Tensor) -> Mapping[str, Tensor]:
        """Returns spectrograms."""
        return {self.extractor.model_input_names[0]: self.extractor.spectrograms(x, self._lengths_of(x))}


class AttackedWaveforms(AttackedSound):
    """An audio classifier of waveforms, as they are or with mean 0 and deviation 1: wav2vec2's extractor."""

    def prepare(self, examples: Sequence[Sound]) -> tuple[Tensor, Tensor]:
        """Returns clips padded with zeros to the longest, and their lengths.

        Raises:
            ValueError: the lengths differ, and the model takes no mask.
        """
        x, lengths = super().prepare(examples)
        if not self.preprocessor.wants_mask and (lengths != x.shape[1]).any():
            raise ValueError("clips of different lengths, and the model takes no mask: give them one at a time")
        return x, lengths

    def model_inputs(self, x: Tensor) -> Mapping[str, Tensor]:
        """Returns samples, and the mask if the model takes one."""
        mask = self.mask(x)
        if self.extractor.do_normalize:
            count = mask.sum(1, keepdim=True)
            centred = (x - (x * mask).sum(1, keepdim=True) / count) * mask
            # transformers' constant
            x = centred / (centred.square().sum(1, keepdim=True) / count + 1e-7).sqrt()
        inputs = {"input_values": torch.where(mask, x, self.extractor.padding_value)}
        return {**inputs, "attention_mask": mask.int()} if self.preprocessor.wants_mask else inputs


def _attacked_sound(model: nn.Module, preprocessor: SoundPreprocessor) -> AttackedSound:
    from transformers import Wav2Vec2FeatureExtractor  # not needed for images

    from hfmix.models.processors.log_mel import LogMelFeatureExtractor

    extractor = getattr(preprocessor.processor, "feature_extractor", preprocessor.processor)
    # a subclass may compute anything
    if type(extractor) is LogMelFeatureExtractor:
        return AttackedLogMel(model, preprocessor, extractor)
    if type(extractor) is Wav2Vec2FeatureExtractor:
        return AttackedWaveforms(model, preprocessor, extractor)
    raise ValueError(
        f"the feature extractor, {_name(extractor)}, is not known to be differentiable: clips can be attacked "
        "through LogMelFeatureExtractor and Wav2Vec2FeatureExtractor"
    )


def _name(processor: Any) -> str:
    return getattr(processor, "__name__", type(processor).__name__)
