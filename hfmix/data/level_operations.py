"""Pillow's operations on the levels of images, for batches: the same level in every pixel, on any device.

Images are (B, H, W, C) uint8, of one channel or of red, green and blue; an argument is one number an image, (B,).
Most operations give tables, (B, C or 1, 256) uint8, of what each level becomes, for `look_up`; `color` and `sharpness`
give images. Arithmetic follows Pillow's step by step: float64 where that is Python, float32 where it is C. A Pillow
that is compiled to multiply and add in one rounding (not so on x86-64) may blend to the level beside.
"""

import torch
from torch import Tensor

_GREY = (19595, 38470, 7471)  # of 65536: ITU-R 601-2, as Pillow's conversion to L weighs red, green and blue


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Each level of `images` by the table (uint8) of its image and channel, in the shape of `images`."""
    found = tables.reshape(-1).index_select(0, _places(images, tables.shape[1]))
    return found.reshape(images.shape)


def auto_contrast(images: Tensor) -> Tensor:
    """Each channel is stretched, so that its darkest level becomes 0 and its brightest 255."""
    flat = images.flatten(1, 2)
    low, high = flat.amin(1).double()[..., None], flat.amax(1).double()[..., None]
    scale = torch.full_like(high, 255) / (high - low)  # a number by a tensor would be rounded twice
    stretched = (_ramp(images) * scale + -low * scale).clamp(0, 255)
    return stretched.where(high > low, _ramp(images)).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Each channel's levels are spread, so that they come about equally often."""
    count, height, width, channels = images.shape
    frequency = torch.bincount(_places(images, channels), minlength=count * channels * 256)
    frequency = frequency.reshape(count, channels, 256)
    brightest = images.flatten(1, 2).amax(1).long()[..., None]
    step = (height * width - frequency.gather(-1, brightest)) // 255
    spread = (step // 2 + frequency.cumsum(-1) - frequency) // step.clamp(min=1)
    return spread.clamp(max=255).where(step > 0, _ramp(images)).to(torch.uint8)


def invert(images: Tensor) -> Tensor:
    """255 minus the level."""
    return (255 - _ramp(images)).to(torch.uint8).expand(len(images), 1, -1)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits`, from 1 to 8."""
    return (_ramp(images) & (256 - (1 << (8 - bits[:, None, None])))).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts levels from `threshold` on, which is from 0 to 256."""
    level = _ramp(images)
    return torch.where(level < threshold[:, None, None], level, 255 - level).to(torch.uint8)


def solarize_add(images: Tensor, added: Tensor) -> Tensor:
    """Adds, from 0 to 128, to the levels below 128."""
    level = _ramp(images)
    return torch.where(level < 128, level + added[:, None, None], level).to(torch.uint8)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean of the grey image, a whole level (`factor` above 1), or towards it (below)."""
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * _grey(images.float()).long().sum((1, 2)) + pixels) // (2 * pixels)
    return _blend(mean.float()[..., None], _ramp(images).float(), factor[:, None, None])


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from black or towards it."""
    return _blend(torch.zeros((), device=images.device), _ramp(images).float(), factor[:, None, None])


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the grey image or towards it; (B, H, W, C)."""
    pixels = images.float()
    return _blend(_grey(pixels), pixels, factor[:, None, None, None])


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the image smoothed with (1 1 1, 1 5 1, 1 1 1) / 13, its border left, or towards it; (B, H, W, C)."""
    pixels = images.float()
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * pixels[:, 1:-1, 1:-1]
    smooth = pixels.clone()
    smooth[:, 1:-1, 1:-1] = (sums / 13 + 0.5).floor()
    return _blend(smooth, pixels, factor[:, None, None, None])


def _blend(degenerate: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    """uint8: from `degenerate` (factor 0) by way of `pixels` (1) and beyond, cut off to a level as Pillow does."""
    return ((pixels - degenerate) * factor.float() + degenerate).clamp(0, 255).to(torch.uint8)


def _grey(pixels: Tensor) -> Tensor:
    """(B, H, W, 1), whole levels in float32, in which the weighted sum is exact (it stays below 2²⁴)."""
    if pixels.shape[-1] == 1:
        return pixels
    red, green, blue = (pixels[..., i : i + 1] * weight for i, weight in enumerate(_GREY))
    return ((red + green + blue + 0x8000) / 65536).floor()


def _ramp(images: Tensor) -> Tensor:
    """(256,), every level as a number."""
    return torch.arange(256, device=images.device)


def _places(images: Tensor, tables: int) -> Tensor:
    """Where each level stands in a row of 256 for each image and each of its `tables`, (B · H · W · C,) int32."""
    count, _, width, channels = images.shape
    first = torch.arange(0, count * tables * 256, 256, device=images.device, dtype=torch.int32)
    first = first.reshape(count, 1, 1, tables).expand(-1, -1, width, channels)
    return (images.flatten(2) + first.flatten(2)).reshape(-1)  # one line of an image at a time is fastest
