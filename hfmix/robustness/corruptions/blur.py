"""The blurs: defocus, frosted glass, motion, zoom and Gaussian."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.corruptions.filters import (
    as_pixels,
    as_planes,
    clipped_zoom,
    mirrored,
    motion_blurred,
    smoothed,
)
from hfmix.robustness.corruptions.glass import glass_sources
from hfmix.robustness.corruptions.random import ImageKeys
from hfmix.robustness.corruptions.rounding import whole_levels


def defocus_blur(
    images: Tensor, radius_and_alias: tuple[float, float], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Convolution with an anti-aliased disk, mirrored at the border without repeating the edge."""
    kernel = _disk(*radius_and_alias).to(images.device)
    planes = as_planes(images).flatten(0, 1).unsqueeze(1)
    for axis in (2, 3):
        planes = mirrored(planes, axis, kernel.shape[0] // 2)
    # TensorFloat-32, the default for convolutions on recent GPUs, is too coarse for a grey level
    with torch.backends.cudnn.flags(allow_tf32=False):
        blurred = F.conv2d(planes, kernel[None, None])
    return as_pixels(blurred.reshape(len(images), images.shape[3], *images.shape[1:3]))


def glass_blur(
    images: Tensor, sigma_delta_passes: tuple[float, int, int], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Smoothed, its pixels shuffled within `delta` in each pass, and smoothed again."""
    sigma, delta, passes = sigma_delta_passes
    size = images.shape[1:3]
    planes = whole_levels(smoothed(as_planes(images), sigma), corrected)
    choices = 2 * delta + 1 if corrected else 2 * delta
    for i in range(passes):
        choice = keys.below(choices**2, size, stream=i)
        down, right = choice.div(choices, rounding_mode="floor") - delta, choice.remainder(choices) - delta
        source = glass_sources(down, right, delta, swap=corrected).flatten(1).unsqueeze(1)
        planes = planes.flatten(2).gather(2, source.expand(-1, planes.shape[1], -1)).reshape(planes.shape)
    return as_pixels(smoothed(planes.float(), sigma))


def motion_blur(images: Tensor, radius_and_sigma: tuple[float, float], keys: ImageKeys, corrected: bool) -> Tensor:
    """ImageMagick's motion blur, along an angle of −45° to 45°."""
    degrees = keys.uniform(()).mul_(90).sub_(45)
    return as_pixels(motion_blurred(as_planes(images), *radius_and_sigma, degrees)).round()


def zoom_blur(
    images: Tensor, start_stop_step: tuple[float, float, float], keys: ImageKeys, corrected: bool
) -> Tensor:
    """The mean of the image and of zooms into its centre, `start` to `stop` times."""
    start, stop, step = start_stop_step
    # where the range holds its end is an accident of floating point, so that the original has it in some severities
    factors = np.arange(start, stop - step / 2 if corrected else stop, step).tolist()
    planes = as_planes(images)
    if not corrected:
        # the batch becomes channels, which lie together: one set of bilinear weights serves them all
        shape = (1, -1, *planes.shape[2:])
        planes = planes.reshape(shape).contiguous(memory_format=torch.channels_last)
    total = planes.clone()
    for factor in factors:
        total += clipped_zoom(planes, factor, corrected)
    mean = total.div_(len(factors) + 1)
    return as_pixels(mean.reshape(len(images), images.shape[3], *images.shape[1:3]))


def gaussian_blur(images: Tensor, sigma: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """A Gaussian filter to 4 σ, the edge repeated."""
    return as_pixels(smoothed(as_planes(images), sigma))


@lru_cache(maxsize=32)
def _disk(radius: float, alias_blur: float) -> Tensor:
    """A normalised disk of `radius`, softened by a Gaussian of `alias_blur` on 3 or 5 taps (float32)."""
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    grid = np.arange(-reach, reach + 1)
    disk = (grid[:, None] ** 2 + grid[None, :] ** 2 <= radius**2).astype(np.float64)
    disk /= disk.sum()
    offset = np.arange(taps) - taps // 2
    soft = np.exp(-(offset**2) / (2 * alias_blur**2))
    soft /= soft.sum()
    padded = np.pad(disk, taps // 2, mode="reflect")
    rows = sum(w * padded[i : i + len(grid)] for i, w in enumerate(soft))
    kernel = sum(w * rows[:, i : i + len(grid)] for i, w in enumerate(soft))
    # denormal taps slow the convolution many times over and change no grey level
    kernel[kernel < 1e-10] = 0
    used = np.flatnonzero(kernel.any(0))
    return torch.from_numpy(kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1]).float()
