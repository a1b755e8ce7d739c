"""Corruption of a model's inputs: between what a processor does to the shape and what it does to the values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.data.kinds.base import Preprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.cifar_c import CifarC
from hfmix.robustness.corruptions.image import corrupt
from hfmix.robustness.corruptions.image.constants import QUIRKS
from hfmix.robustness.corruptions.image.textures import frost_source


def corrupter(
    preprocessor: Preprocessor,
    examples: Sequence[Any],
    seed: int,
    first: int,
    mode: Literal["parity", "corrected"],
    device: torch.device,
) -> Callable[[str, int], Mapping[str, Tensor]]:
    """Returns the function from a corruption and a severity to the model's inputs for these examples.

    Images are corrupted after resize and crop and before normalisation, or before the processor if it cannot be
    taken apart; clips at their own sampling rate, before anything else.

    Args:
        preprocessor: makes the model's inputs.
        examples: the examples of one batch.
        seed: seed of the corruptions.
        first: the index of the first example; the others follow.
        mode: see `hfmix.corrupt`.
        device: the device to corrupt images on.
    """
    if isinstance(preprocessor, SoundPreprocessor):
        return lambda name, severity: preprocessor.inputs(_sounds(examples, name, severity, seed, first))
    assert isinstance(preprocessor, ImagePreprocessor)
    if preprocessor.separable:
        levels = preprocessor.levels(preprocessor.pixel_values(list(examples))).to(device)
        return lambda name, severity: {
            "pixel_values": preprocessor.normalize(corrupt(levels, name, severity, seed, first, mode))
        }

    def before_processor(name: str, severity: int) -> Mapping[str, Tensor]:
        arrays = [np.array(image) for image in examples]
        changed = [corrupt(array, name, severity, seed, first + i, mode) for i, array in enumerate(arrays)]
        return {"pixel_values": preprocessor.pixel_values([Image.fromarray(array) for array in changed])}

    return before_processor


def reader(
    preprocessor: Preprocessor, stored: CifarC, rows: np.ndarray
) -> Callable[[str, int], Mapping[str, Tensor]]:
    """Returns the function that `corrupter` returns, for corrupted images that are read instead.

    Args:
        preprocessor: makes the model's inputs.
        stored: the corrupted images.
        rows: the rows of the test set to read.
    """

    def read(name: str, severity: int) -> Mapping[str, Tensor]:
        return preprocessor.inputs([Image.fromarray(image) for image in stored.images(name, severity, rows)])

    return read


def check_names(names: Sequence[str] | None, kind: str) -> list[str]:
    """Returns the corruptions in `names`, or by default those of the literature for a kind of input.

    Raises:
        ValueError: there is none of that name.
    """
    usual = corruption_names(kind)
    if names is None:
        return usual
    known = corruption_names(kind, extra=True)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"unknown corruption {unknown[0]!r}: there are {', '.join(known)}")
    return list(names)


def how_applied(
    preprocessor: Preprocessor,
    names: Sequence[str],
    mode: Literal["parity", "corrected"],
    stored: CifarC | None = None,
) -> dict[str, Any]:
    """Returns what the report says about where and how corruption was applied."""
    if stored is not None:
        return {"applied": f"before the processor, read from {stored.folder.name}"}
    if isinstance(preprocessor, SoundPreprocessor):
        return {"applied": "to the clip, at its own sampling rate"}
    separable = isinstance(preprocessor, ImagePreprocessor) and preprocessor.separable
    applied = {
        "applied": "after resize and crop, before normalisation" if separable else "before the processor",
        "mode": mode,
        "quirks": {name: QUIRKS[name] for name in ("all", *names) if name in QUIRKS},
    }
    return {**applied, "frost": frost_source()} if "frost" in names else applied


def _sounds(clips: Sequence[Sound], name: str, severity: int, seed: int, first: int) -> list[Sound]:
    from hfmix.robustness.corruptions.audio import corrupt_sound  # scipy.signal takes a while to import

    return [
        Sound(
            corrupt_sound(
                clip.samples, name, severity, sampling_rate=clip.sampling_rate, seed=seed, first_index=first + i
            ),
            clip.sampling_rate,
        )
        for i, clip in enumerate(clips)
    ]
