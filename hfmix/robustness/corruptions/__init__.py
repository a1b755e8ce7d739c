"""Corruptions of images at five severities, reproducible image by image."""

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from hfmix.robustness.corruptions import images as image_corruptions
from hfmix.robustness.corruptions.constants import CONSTANTS, SEVERITIES, constants_for
from hfmix.robustness.corruptions.random import ImageKeys

__all__ = ["SEVERITIES", "corrupt", "corruption_names"]

Images = TypeVar("Images", np.ndarray, Tensor)
Mode = Literal["parity", "corrected"]

_IMAGE: dict[str, Callable[[Tensor, float | tuple, ImageKeys], Tensor]] = {
    "gaussian_noise": image_corruptions.gaussian_noise,
    "impulse_noise": image_corruptions.impulse_noise,
    "defocus_blur": image_corruptions.defocus_blur,
    "brightness": image_corruptions.brightness,
    "contrast": image_corruptions.contrast,
    "pixelate": image_corruptions.pixelate,
    "jpeg_compression": image_corruptions.jpeg_compression,
}


def corruption_names(modality: str = "image", extra: bool = False) -> list[str]:
    """The corruptions that `corrupt` knows, in the literature's order.

    Raises:
        ValueError: there are none for this modality.
    """
    if modality == "audio":
        from hfmix.robustness.corruptions.sounds import AUDIO  # scipy.signal takes a while to import

        return list(AUDIO)
    if modality != "image":
        raise ValueError(f"there are corruptions for 'image' and 'audio', not for {modality!r}")
    return list(_IMAGE)


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

    The draw of an image depends on (seed, its index, corruption, severity) alone: the size of the batch, the order
    and the device don't matter.

    Args:
        images: uint8 (B, H, W, C) or (H, W, C), C 1 or 3, NumPy or torch.
        name: one of `corruption_names`.
        severity: 1 to 5.
        seed: of the noise.
        first_index: the index of the first image; the others follow.
        mode: "parity" truncates to whole grey levels as the original code does (half a level too dark on average);
            "corrected" rounds.
        constants: the parameter set, 32, 64, 224 or 299; None takes the one for the images' shorter side.

    Returns:
        The same kind, shape and dtype.

    Raises:
        ValueError: an unknown name, severity, mode or set, or another shape.
        TypeError: not uint8.
    """
    if name not in _IMAGE:
        raise ValueError(f"unknown corruption {name!r}: there are {', '.join(_IMAGE)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is 1 to 5, not {severity!r}")
    if mode not in ("parity", "corrected"):
        raise ValueError(f"mode is 'parity' or 'corrected', not {mode!r}")
    batch = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    if batch.dtype != torch.uint8:
        raise TypeError(f"images are uint8 in 0..255, not {batch.dtype}")
    if batch.ndim not in (3, 4) or batch.shape[-1] not in (1, 3):
        raise ValueError(f"images are (B, H, W, C) or (H, W, C) with C 1 or 3, not {tuple(batch.shape)}")
    stack = batch if batch.ndim == 4 else batch.unsqueeze(0)
    parameter_set = constants_for(*stack.shape[1:3]) if constants is None else constants
    if parameter_set not in CONSTANTS:
        raise ValueError(f"constants is one of {', '.join(map(str, CONSTANTS))}, not {constants!r}")
    keys = ImageKeys(seed, first_index, name, severity, len(stack), stack.device)
    levels = _IMAGE[name](stack, CONSTANTS[parameter_set][name][severity - 1], keys)
    if levels.is_floating_point():
        levels = levels.clamp(0, 255)
        levels = (levels if mode == "parity" else levels.round()).to(torch.uint8)
    levels = levels if batch.ndim == 4 else levels[0]
    return levels.numpy() if isinstance(images, np.ndarray) else levels
