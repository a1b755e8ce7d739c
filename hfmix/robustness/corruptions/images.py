"""The arithmetic of each image corruption, for a whole batch.

Each takes (B, H, W, C) uint8, the severity's constant and the images' keys, and returns grey levels: floating
point (clipped and cut to uint8 by `corrupt`) or uint8 where an encoder gives whole levels. Formulas and constants
are those of ImageNet-C's code.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.corruptions.random import ImageKeys


def gaussian_noise(images: Tensor, scale: float, keys: ImageKeys) -> Tensor:
    """x + N(0, scale) on [0, 1], each element on its own."""
    return images + keys.normal(images.shape[1:]) * (scale * 255)


def impulse_noise(images: Tensor, amount: float, keys: ImageKeys) -> Tensor:
    """Salt or pepper, half each, in a share `amount` of the elements (channels on their own)."""
    uniform = keys.uniform(images.shape[1:])
    levels = images.float()
    levels = torch.where(uniform < amount, torch.zeros_like(levels), levels)
    return torch.where(uniform < amount / 2, torch.full_like(levels, 255.0), levels)


def defocus_blur(images: Tensor, radius_and_alias: tuple[float, float], keys: ImageKeys) -> Tensor:
    """Convolution with an anti-aliased disk, mirrored at the border without repeating the edge."""
    kernel = torch.from_numpy(_disk(*radius_and_alias)).to(images.device, torch.float32)
    planes = images.permute(0, 3, 1, 2).float().flatten(0, 1).unsqueeze(1)
    for axis in (2, 3):
        planes = _mirror(planes, axis, kernel.shape[0] // 2)
    # TensorFloat-32, the default for convolutions on recent GPUs, is too coarse for a grey level
    with torch.backends.cudnn.flags(allow_tf32=False):
        blurred = F.conv2d(planes, kernel[None, None])
    return blurred.reshape(len(images), images.shape[3], *images.shape[1:3]).permute(0, 2, 3, 1)


def brightness(images: Tensor, shift: float, keys: ImageKeys) -> Tensor:
    """HSV's value raised by `shift`: colours scale by V'/V, black becomes grey."""
    levels = images.float()
    value = levels.amax(dim=-1, keepdim=True)
    raised = (value + shift * 255).clamp(max=255)
    return torch.where(value > 0, levels * (raised / value.clamp(min=1)), raised)


def contrast(images: Tensor, factor: float, keys: ImageKeys) -> Tensor:
    """(x − mean) · factor + mean, the mean taken over each channel of each image."""
    levels = images.float()
    mean = levels.mean(dim=(1, 2), keepdim=True)
    return (levels - mean) * factor + mean


def pixelate(images: Tensor, factor: float, keys: ImageKeys) -> Tensor:
    """Shrunk by `factor` and back with Pillow's box filter."""
    height, width = images.shape[1:3]
    small = (int(width * factor), int(height * factor))

    def there_and_back(image: Image.Image) -> Image.Image:
        return image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _with_pillow(images, there_and_back)


def jpeg_compression(images: Tensor, quality: int, keys: ImageKeys) -> Tensor:
    """Encoded as JPEG by Pillow and decoded."""

    def encode(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _with_pillow(images, encode)


def _with_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    arrays = images.cpu().numpy()
    grey = arrays.shape[3] == 1
    changed = [np.asarray(change(Image.fromarray(a[..., 0] if grey else a))) for a in arrays]
    return torch.from_numpy(np.stack(changed)).reshape(images.shape).to(images.device)


def _disk(radius: float, alias_blur: float) -> np.ndarray:
    """A normalised disk of `radius`, softened by a Gaussian of `alias_blur` on 3 or 5 taps (float64)."""
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
    return kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1]


def _mirror(planes: Tensor, axis: int, reach: int) -> Tensor:
    """Extends `axis` by `reach` on both sides, mirrored about the edge pixel, also where `reach` is the longer."""
    size = planes.shape[axis]
    index = torch.arange(-reach, size + reach, device=planes.device)
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return planes.index_select(axis, torch.minimum(index, period - index) if size > 1 else index * 0)
