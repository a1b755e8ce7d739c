"""Augmentation of clips: random cuts, shifts in time, and masks in the spectrogram."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfmix.data.arguments import SOUND_AUGMENTATIONS, DataArguments
from hfmix.data.kinds.audio import Sound, SoundPreprocessor, clip_seconds


class ToFeatures:
    """The transform of a clip to the model's inputs: augmentation and the processor's own steps.

    A clip that is too long is cut: at a random place in training, to its middle otherwise.

    Args:
        processor: the model's processor.
        augment: the augmentation, drawn from torch's generator; None for evaluation.

    Raises:
        ValueError: the augmentation is for images, or masks spectrograms and the model takes waveforms.
    """

    def __init__(self, processor: Any, augment: DataArguments | None = None) -> None:
        self.preprocessor = SoundPreprocessor(processor)
        self.augment = augment
        kind = "none" if augment is None else augment.augmentation or "none"
        if kind not in SOUND_AUGMENTATIONS:
            raise ValueError(f"augmentation {kind} is for images; for sound: {', '.join(SOUND_AUGMENTATIONS)}")
        self.shifts = kind != "none"
        self.masks = kind == "specaugment"
        if self.masks:  # refuses a model of waveforms before training starts
            rate = self.preprocessor.sampling_rate or 16_000
            for features in self.preprocessor.features(Sound(np.zeros(rate, np.float32), rate)).values():
                spec_augment(features, 0, 0.0)
        extractor = getattr(processor, "feature_extractor", processor)
        longest = [
            None if augment is None else augment.max_length_seconds,
            clip_seconds(extractor),
        ]
        self.max_seconds = min((seconds for seconds in longest if seconds is not None), default=None)

    def __call__(self, sound: Sound) -> dict[str, Tensor]:
        if self.max_seconds is not None:
            sound = _cut(sound, round(self.max_seconds * sound.sampling_rate), at_random=self.augment is not None)
        if self.shifts:
            sound = time_shift(sound, self.augment.time_shift_ms)
        inputs = self.preprocessor.features(sound)
        if self.masks:
            name = next(iter(inputs))
            inputs[name] = spec_augment(inputs[name], self.augment.spec_masks, self.augment.spec_mask_share)
        return inputs


def time_shift(sound: Sound, milliseconds: float) -> Sound:
    """Shifts a clip by a uniformly drawn time of up to `milliseconds` to either side, filling with silence."""
    reach = min(round(milliseconds / 1000 * sound.sampling_rate), len(sound.samples) - 1)
    shift = int(torch.randint(-reach, reach + 1, ()))
    samples = np.zeros_like(sound.samples)
    samples[max(shift, 0) : len(samples) + min(shift, 0)] = sound.samples[
        max(-shift, 0) : len(samples) - max(shift, 0)
    ]
    return Sound(samples, sound.sampling_rate)


def spec_augment(spectrogram: Tensor, masks: int, share: float) -> Tensor:
    """Applies SpecAugment's masks (Park et al. 2019, arXiv 1904.08779), without its time warping.

    Args:
        spectrogram: (bands, frames) or (frames, bands); not changed.
        masks: number of masks along each dimension.
        share: the longest mask as a share of the dimension; lengths are uniform from 0 to that, positions uniform.

    Returns:
        A copy of the spectrogram, set to its mean under the masks.

    Raises:
        ValueError: the input is not two-dimensional, such as a waveform.
    """
    if spectrogram.ndim != 2:
        raise ValueError(
            f"augmentation specaugment masks spectrograms, and this model takes {tuple(spectrogram.shape)}: "
            f"models of waveforms mask their own features (model_args such as mask_time_prob), or set time_shift"
        )
    masked, mean = spectrogram.clone(), spectrogram.mean()
    for dim, size in enumerate(spectrogram.shape):
        for _ in range(masks):
            length = int(torch.randint(0, int(share * size) + 1, ()))
            start = int(torch.randint(0, size - length + 1, ()))
            masked.narrow(dim, start, length).fill_(mean)
    return masked


def _cut(sound: Sound, length: int, at_random: bool) -> Sound:
    spare = len(sound.samples) - length
    if spare <= 0:
        return sound
    start = int(torch.randint(0, spare + 1, ())) if at_random else spare // 2
    return Sound(sound.samples[start : start + length], sound.sampling_rate)
