"""Corruptions of images: the table of all of them, and `corrupt`."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from hfmix.robustness.corruptions.image import blur, digital, noise, spatter, weather
from hfmix.robustness.corruptions.image.constants import CONSTANTS, SEVERITIES, constant, constants_for
from hfmix.robustness.corruptions.image.filters import whole_levels
from hfmix.utils.keyed_noise import ImageKeys

Images = TypeVar("Images", np.ndarray, Tensor)
Mode = Literal["parity", "corrected"]
CORRUPTIONS: dict[str, Callable[[Tensor, Any, ImageKeys, bool], Tensor]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
# ImageNet-C sets these aside for choosing hyperparameters; the benchmark's means leave them out
EXTRA_CORRUPTIONS: dict[str, Callable[[Tensor, Any, ImageKeys, bool], Tensor]] = {
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter.spatter,
    "saturate": digital.saturate,
}
_ALL = CORRUPTIONS | EXTRA_CORRUPTIONS
# these add colour: a grey image goes through them as three equal channels
_COLOURED = ("frost", "spatter", "saturate")
# elements per thread and chunk: small enough for the caches; a few corruptions gain more from larger batches
_CHUNK, _LARGE_CHUNK = 1 << 18, 1 << 20
_LARGE = ("defocus_blur", "glass_blur", "zoom_blur", "fog", "pixelate", "jpeg_compression", "spatter")


def corrupt(
    images: Images,
    name: str,
    severity: int = 3,
    seed: int = 0,
    first_index: int = 0,
    mode: Mode = "parity",
    constants: int | None = None,
) -> Images:
    """Corrupts images as ImageNet-C and CIFAR-10-C do (Hendrycks & Dietterich 2019, arXiv 1903.12261).

    An image's random draws depend only on (seed, index, corruption, severity): batch size, order and device do not
    matter.

    Args:
        images: uint8 (B, H, W, C) or (H, W, C), C 1 or 3, NumPy or torch.
        name: one of `corruption_names(extra=True)`.
        severity: 1 to 5.
        seed: seed of all random draws.
        first_index: index of the first image; the others count up from it.
        mode: "parity" keeps the original code's slips, "corrected" fixes them; `QUIRKS` lists them.
        constants: the parameter set, 32, 64, 224 or 299; None chooses by the images' shorter side.

    Returns:
        The corrupted images: NumPy or torch as given, of the same shape and dtype.

    Raises:
        ValueError: an unknown name, severity, mode or parameter set, or a wrong shape.
        TypeError: the images are not uint8.
    """
    if name not in _ALL:
        raise ValueError(f"unknown corruption {name!r}: there are {', '.join(_ALL)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is 1 to 5, not {severity!r}")
    if mode not in ("parity", "corrected"):
        raise ValueError(f"mode is 'parity' or 'corrected', not {mode!r}")
    batch = torch.from_numpy(np.require(images, requirements="CW")) if isinstance(images, np.ndarray) else images
    if batch.dtype != torch.uint8:
        raise TypeError(f"images are uint8 in 0..255, not {batch.dtype}")
    if batch.ndim not in (3, 4) or batch.shape[-1] not in (1, 3):
        raise ValueError(f"images are (B, H, W, C) or (H, W, C) with C 1 or 3, not {tuple(batch.shape)}")
    stack = batch if batch.ndim == 4 else batch.unsqueeze(0)
    parameter_set = constants_for(*stack.shape[1:3]) if constants is None else constants
    if parameter_set not in CONSTANTS:
        raise ValueError(f"constants is one of {', '.join(map(str, CONSTANTS))}, not {constants!r}")
    corrected = mode == "corrected"
    strength = constant(parameter_set, name, severity, corrected)
    corrupted = torch.empty_like(stack)
    at_once = _images_at_once(stack, name)
    for start in range(0, len(stack), at_once):
        part = stack[start : start + at_once]
        keys = ImageKeys(seed, first_index + start, name, severity, len(part), part.device)
        corrupted[start : start + at_once] = _corrupted(part, name, strength, keys, corrected)
    corrupted = corrupted if batch.ndim == 4 else corrupted[0]
    return corrupted.numpy() if isinstance(images, np.ndarray) else corrupted


def _corrupted(images: Tensor, name: str, strength: Any, keys: ImageKeys, corrected: bool) -> Tensor:
    grey = images.shape[3] == 1 and name in _COLOURED
    levels = _ALL[name](images.expand(-1, -1, -1, 3) if grey else images, strength, keys, corrected)
    levels = weather.luma(levels) if grey else levels
    return whole_levels(levels, corrected) if levels.is_floating_point() else levels


def _images_at_once(images: Tensor, name: str) -> int:
    if images.device.type != "cpu":
        return max(len(images), 1)
    chunk = (_LARGE_CHUNK if name in _LARGE else _CHUNK) * torch.get_num_threads()
    return max(1, chunk // max(images[:1].numel(), 1))
