"""Pillow's operations on levels for batches of images, equal to Pillow's in every pixel on devices with float64.

Images are (B, H, W, C) uint8 with one channel or three (red, green, blue); an argument has one number per image,
(B,). Most operations return lookup tables for `look_up`, (B, C or 1, 256) uint8, the new value of each level;
`color` and `sharpness` return images. The arithmetic follows Pillow's step by step: float64 where Pillow computes
in Python, float32 where it computes in C. A Pillow compiled to fuse multiplication and addition into one rounding
(not the case on x86-64) may differ by one level in blends.
"""

import torch
from torch import Tensor

_GREY = (19595 / 2**16, 38470 / 2**16, 7471 / 2**16)  # red, green and blue in Pillow's conversion to L


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Maps each level of `images` through the table (uint8) of its image and channel; keeps the shape."""
    levels = tables.reshape(-1).index_select(0, _places(images, tables.shape[1]))
    return levels.reshape(images.shape)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretches each channel so that its darkest level becomes 0 and its brightest 255."""
    channels = _channels(images)
    low, high = channels.amin(-1, keepdim=True).double(), channels.amax(-1, keepdim=True).double()
    scale = torch.full_like(high, 255) / (high - low)  # a number by a tensor would be rounded twice
    stretched = (_ramp(images) * scale + -low * scale).clamp(0, 255)
    return stretched.where(high > low, _ramp(images)).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Equalises the histogram of each channel."""
    count, height, width, channels = images.shape
    frequency = torch.bincount(_places(images, channels), minlength=count * channels * 256)
    frequency = frequency.reshape(count, channels, 256)
    brightest = _channels(images).amax(-1, keepdim=True).long()
    step = (height * width - frequency.gather(-1, brightest)) // 255
    spread = (step // 2 + frequency.cumsum(-1) - frequency) // step.clamp(min=1)
    return spread.clamp(max=255).where(step > 0, _ramp(images)).to(torch.uint8)


def invert(images: Tensor) -> Tensor:
    """Inverts levels: 255 minus the level."""
    return (255 - _ramp(images)).to(torch.uint8).expand(len(images), 1, -1)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits` (1 to 8) of each level."""
    return (_ramp(images) & (256 - (1 << (8 - bits[:, None, None])))).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts the levels at or above `threshold` (0 to 256)."""
    level = _ramp(images)
    return torch.where(level < threshold[:, None, None], level, 255 - level).to(torch.uint8)


def solarize_add(images: Tensor, added: Tensor) -> Tensor:
    """Adds `added` (0 to 128) to the levels below 128."""
    level = _ramp(images)
    return torch.where(level < 128, level + added[:, None, None], level).to(torch.uint8)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Moves levels away from the grey image's mean, rounded (`factor` above 1), or towards it (below 1)."""
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * _grey(images)[..., :1].flatten(1).long().sum(1) + pixels) // (2 * pixels)
    return _blend(mean.float()[:, None, None], _ramp(images).float(), factor[:, None, None])


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Moves levels away from black (`factor` above 1) or towards it (below 1)."""
    return _blend(torch.zeros((), device=images.device), _ramp(images).float(), factor[:, None, None])


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Moves the image away from its grey version (`factor` above 1) or towards it (below 1)."""
    return _blend(_grey(images), images.float(), factor[:, None, None, None])


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Moves the image away from its smoothed version (`factor` above 1) or towards it (below 1).

    Smoothing is by (1 1 1, 1 5 1, 1 1 1) / 13 and leaves the border as it is.
    """
    pixels = images.float()
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * pixels[:, 1:-1, 1:-1]
    smooth = pixels.clone()
    smooth[:, 1:-1, 1:-1] = (sums / 13 + 0.5).floor()
    return _blend(smooth, pixels, factor[:, None, None, None])


def _blend(degenerate: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    """Blends from `degenerate` (factor 0) to `pixels` (1) and beyond; clips and truncates to uint8 as Pillow."""
    return ((pixels - degenerate) * factor.float() + degenerate).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Returns the grey image, (B, H, W, C) whole levels in float32, equal in all channels."""
    if images.shape[-1] == 1:
        return images.float()
    # float64 holds the sums exactly in any order, and is never replaced by a product of lower precision
    weights = torch.tensor(_GREY, device=images.device, dtype=torch.float64)[:, None].expand(-1, 3)
    return (images.double() @ weights).add_(0.5).floor_().float()


def _channels(images: Tensor) -> Tensor:
    """Returns (B, C, H · W) with contiguous channels, whose extremes are many times faster to find."""
    return images.flatten(1, 2).transpose(1, 2).contiguous()


def _ramp(images: Tensor) -> Tensor:
    """Returns all levels, 0 to 255, (256,)."""
    return torch.arange(256, device=images.device)


def _places(images: Tensor, tables: int) -> Tensor:
    """Returns each level's index into the flattened tables, `tables` per image: (B · H · W · C,) int32."""
    count, _, width, channels = images.shape
    first = torch.arange(0, count * tables * 256, 256, device=images.device, dtype=torch.int32)
    first = first.reshape(count, 1, 1, tables).expand(-1, -1, width, channels)
    return images.flatten(2).int().add_(first.flatten(2)).reshape(-1)  # row by row of an image is fastest
