"""Filters that several corruptions share: Gaussian smoothing, zooming into the centre, ImageMagick's motion blur.

All of them work on planes, (..., H, W) float32.
"""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Border = Literal["nearest", "reflect"]


def as_planes(images: Tensor) -> Tensor:
    """Turns (B, H, W, C) of any dtype into (B, C, H, W) float32."""
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def as_pixels(planes: Tensor) -> Tensor:
    """Views (B, C, H, W) as (B, H, W, C)."""
    return planes.permute(0, 2, 3, 1)


def smoothed(planes: Tensor, sigma: float, border: Border = "nearest", truncate: float = 4.0) -> Tensor:
    """Applies the Gaussian filter of scipy.ndimage and scikit-image, with their defaults, as two matrix products.

    A border wider than the image costs nothing: it is folded into the matrices.
    """
    height, width = planes.shape[-2:]
    # TensorFloat-32, which the training may have allowed on a GPU, is too coarse for a grey level
    dtype = torch.float64 if planes.is_cuda else torch.float32
    stack = planes.reshape(-1, height, width).to(dtype)
    rows = gaussian_matrix(height, sigma, border, truncate).to(stack)
    columns = gaussian_matrix(width, sigma, border, truncate).to(stack).T
    # one product per plane, so that the batch size does not change the order of the sums
    across = torch.bmm(stack, columns.expand(len(stack), width, width))
    return torch.bmm(rows.expand(len(stack), height, height), across).to(planes.dtype).reshape(planes.shape)


@lru_cache(maxsize=64)
def gaussian_matrix(size: int, sigma: float, border: Border, truncate: float) -> Tensor:
    """Builds the filter's (size, size) float64 matrix: row i weighs the inputs of output i, and sums to 1."""
    radius = int(truncate * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    tap = np.exp(-(offset**2) / (2 * max(sigma, 1e-12) ** 2))
    # denormal products are slow and change no grey level
    tap[tap < 1e-12] = 0
    source = np.arange(size)[:, None] + offset
    if border == "nearest":
        source = source.clip(0, size - 1)
    else:
        source = source % (2 * size)
        source = np.minimum(source, 2 * size - 1 - source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), tap / tap.sum())
    return torch.from_numpy(matrix)


def clipped_zoom(planes: Tensor, factor: float, corrected: bool = False) -> Tensor:
    """Zooms into the centre of (N, K, H, W) by `factor` ≥ 1 and keeps the size; bilinear.

    The original crops ceil(size / factor) pixels, stretches them corner to corner to round(crop · factor) with
    scipy.ndimage.zoom and trims the excess: its crop is up to half a pixel off the centre, and its zoom is not
    quite `factor`. With `corrected`, both are exact.
    """
    if corrected:
        y, x = (torch.linspace(-1, 1, side, device=planes.device) / factor for side in planes.shape[-2:])
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(planes), -1, -1, -1)
        return F.grid_sample(planes, grid, align_corners=True, padding_mode="border")
    size = planes.shape[-2:]
    crop = [math.ceil(s / factor) for s in size]
    top, left = ((s - c) // 2 for s, c in zip(size, crop, strict=True))
    out = [round(c * factor) for c in crop]
    cropped = planes[..., top : top + crop[0], left : left + crop[1]]
    zoomed = F.interpolate(cropped, size=out, mode="bilinear", align_corners=True)
    top, left = ((o - s) // 2 for s, o in zip(size, out, strict=True))
    return zoomed[..., top : top + size[0], left : left + size[1]]


def motion_blurred(planes: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Blurs (B, C, H, W) as ImageMagick's MotionBlurImage (MagickCore/effect.c) does; one angle per image.

    The kernel is half a Gaussian: 2·⌈radius⌉ + 1 taps from its peak on. Tap i reads the pixel ⌈i cos θ − ½⌉ to
    the right and ⌈i sin θ − ½⌉ below; the edge is repeated. ImageMagick works in 16 bits and rounds to 8, so
    round the result.
    """
    width = 2 * math.ceil(radius) + 1
    taps = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    theta = np.deg2rad(degrees.cpu().numpy().astype(np.float64))[:, None]
    right = np.ceil(np.arange(width) * np.cos(theta) - 0.5).astype(int)
    below = np.ceil(np.arange(width) * np.sin(theta) - 0.5).astype(int)
    height, length = planes.shape[-2:]
    blurred = torch.empty_like(planes)
    for image, out, dx, dy in zip(planes, blurred, right, below, strict=True):
        before, above = max(-dx.min(), 0), max(-dy.min(), 0)
        padding = (before, max(dx.max(), 0), above, max(dy.max(), 0))
        padded = F.pad(image[None], padding, mode="replicate")[0]
        for i, weight in enumerate(taps.tolist()):
            y, x = above + dy[i], before + dx[i]
            shifted = padded[:, y : y + height, x : x + length]
            if i == 0:
                torch.mul(shifted, weight, out=out)
            else:
                out.add_(shifted, alpha=weight)
    return blurred


def mirrored(planes: Tensor, axis: int, reach: int) -> Tensor:
    """Extends `axis` by `reach` on both sides, mirrored about the edge pixel; `reach` may exceed the axis."""
    size = planes.shape[axis]
    index = torch.arange(-reach, size + reach, device=planes.device)
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return planes.index_select(axis, torch.minimum(index, period - index) if size > 1 else index * 0)


def whole_levels(levels: Tensor, corrected: bool) -> Tensor:
    """Converts to uint8: rounds if `corrected`, otherwise truncates as the original code does.

    In the original's float64 a whole level stays whole; in float32 it may end a little below and would lose a
    level to truncation. Adding 2⁻¹⁰ outweighs any such error.
    """
    levels = levels.clamp(0, 255)
    return (levels.round() if corrected else levels + 2**-10).to(torch.uint8)
