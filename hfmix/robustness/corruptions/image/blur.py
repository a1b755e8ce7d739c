"""Blurs of images: defocus, frosted glass, motion, zoom and Gaussian."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.corruptions.image.filters import (
    as_pixels,
    as_planes,
    clipped_zoom,
    mirrored,
    motion_blurred,
    smoothed,
    whole_levels,
)
from hfmix.robustness.corruptions.image.glass import glass_sources
from hfmix.utils.keyed_noise import ImageKeys


def defocus_blur(
    images: Tensor, radius_and_alias: tuple[float, float], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Convolves with an anti-aliased disk, mirrored at the border without repeating the edge."""
    kernel = _disk(*radius_and_alias).to(images.device)
    planes = as_planes(images).flatten(0, 1)
    for axis in (1, 2):
        planes = mirrored(planes, axis, kernel.shape[0] // 2)
    return as_pixels(_convolved(planes, kernel).reshape(len(images), images.shape[3], *images.shape[1:3]))


def glass_blur(
    images: Tensor, sigma_delta_passes: tuple[float, int, int], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Smooths the image, shuffles its pixels within `delta` in each pass, and smooths it again."""
    sigma, delta, passes = sigma_delta_passes
    size = images.shape[1:3]
    planes = whole_levels(smoothed(as_planes(images), sigma), corrected)
    choices = 2 * delta + 1 if corrected else 2 * delta
    source = None
    for i in range(passes):
        bits = keys.bits(size, stream=i)
        # one draw from each half of the bits; among so few choices none is likelier by more than 2⁻¹⁶
        down, right = ((half * choices >> 16) - delta for half in (bits >> 16 & 0xFFFF, bits & 0xFFFF))
        exchanged = glass_sources(down, right, delta, swap=corrected)
        source = exchanged if source is None else source.gather(1, exchanged)
    shuffled = planes.flatten(2).gather(2, source.unsqueeze(1).expand(-1, planes.shape[1], -1))
    planes = shuffled.reshape(planes.shape)
    return as_pixels(smoothed(planes.float(), sigma))


def motion_blur(images: Tensor, radius_and_sigma: tuple[float, float], keys: ImageKeys, corrected: bool) -> Tensor:
    """Applies ImageMagick's motion blur at an angle of −45° to 45°."""
    degrees = keys.uniform(()).mul_(90).sub_(45)
    return as_pixels(motion_blurred(as_planes(images), *radius_and_sigma, degrees)).round()


def zoom_blur(
    images: Tensor, start_stop_step: tuple[float, float, float], keys: ImageKeys, corrected: bool
) -> Tensor:
    """Averages the image with zooms into its centre, from `start` to `stop` times."""
    start, stop, step = start_stop_step
    # rounding decides whether the range includes its end: in some severities of the original it does
    factors = np.arange(start, stop - step / 2 if corrected else stop, step).tolist()
    b, height, width, channels = images.shape
    if corrected:
        planes = as_planes(images)
    else:
        # the batch is folded into the channels, contiguous in memory: one set of bilinear weights serves them all
        planes = images.permute(1, 2, 0, 3).float().reshape(1, height, width, -1).permute(0, 3, 1, 2)
    total = planes.clone()
    for factor in factors:
        total += clipped_zoom(planes, factor, corrected)
    mean = total.div_(len(factors) + 1)
    return as_pixels(mean.reshape(b, channels, height, width))


def gaussian_blur(images: Tensor, sigma: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Applies a Gaussian filter, cut off at 4 σ, with the edge repeated."""
    return as_pixels(smoothed(as_planes(images), sigma))


def _convolved(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolves (P, H, W) with a symmetric (k, k) kernel, without padding: (P, H − k + 1, W − k + 1)."""
    taps = kernel.shape[0]
    if taps < 13:
        # one group per plane: a depthwise convolution is many times faster than a batch of single channels
        weights = kernel.expand(len(planes), 1, taps, taps)
        # TensorFloat-32, the default for convolutions on recent GPUs, is too coarse for a grey level
        with torch.backends.cudnn.flags(allow_tf32=False):
            return F.conv2d(planes[None], weights, groups=len(planes))[0]
    size = [_fast_length(side) for side in planes.shape[1:]]
    product = torch.fft.rfft2(planes, s=size).mul_(torch.fft.rfft2(kernel, s=size))
    return torch.fft.irfft2(product, s=size)[:, taps - 1 : planes.shape[1], taps - 1 : planes.shape[2]]


def _fast_length(length: int) -> int:
    """Returns the next length without a prime factor above 5: many times faster to Fourier transform."""
    rest = length
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 else _fast_length(length + 1)


@lru_cache(maxsize=32)
def _disk(radius: float, alias_blur: float) -> Tensor:
    """Builds a normalised disk of `radius`, softened by a Gaussian of `alias_blur` on 3 or 5 taps (float32)."""
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
    # denormal taps make the convolution many times slower and change no grey level
    kernel[kernel < 1e-10] = 0
    used = np.flatnonzero(kernel.any(0))
    return torch.from_numpy(kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1]).float()
