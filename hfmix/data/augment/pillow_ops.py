"""Pillow's operations on levels, for batches of images: the same level in every pixel, where there is float64.

Images are (B, H, W, C) uint8, of one channel or of red, green and blue; an argument is one number an image,
(B,). Most operations give tables, (B, C or 1, 256) uint8, of what each level becomes, for `look_up`; `color`
and `sharpness` give images. Arithmetic follows Pillow's step by step: float64 where that is Python, float32
where it is C. A Pillow that is compiled to multiply and add in one rounding (not so on x86-64) may blend to the
level beside.
"""

import torch
from torch import Tensor

_GREY = (19595 / 2**16, 38470 / 2**16, 7471 / 2**16)  # red, green and blue in Pillow's conversion to L


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Each level of `images` by the table (uint8) of its image and channel, in the shape of `images`."""
    found = tables.reshape(-1).index_select(0, _places(images, tables.shape[1]))
    return found.reshape(images.shape)


def auto_contrast(images: Tensor) -> Tensor:
    """Each channel is stretched, so that its darkest level becomes 0 and its brightest 255."""
    channels = _channels(images)
    low, high = channels.amin(-1, keepdim=True).double(), channels.amax(-1, keepdim=True).double()
    scale = torch.full_like(high, 255) / (high - low)  # a number by a tensor would be rounded twice
    stretched = (_ramp(images) * scale + -low * scale).clamp(0, 255)
    return stretched.where(high > low, _ramp(images)).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Each channel's levels are spread, so that they come about equally often."""
    count, height, width, channels = images.shape
    frequency = torch.bincount(_places(images, channels), minlength=count * channels * 256)
    frequency = frequency.reshape(count, channels, 256)
    brightest = _channels(images).amax(-1, keepdim=True).long()
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
    mean = (2 * _grey(images)[..., :1].flatten(1).long().sum(1) + pixels) // (2 * pixels)
    return _blend(mean.float()[:, None, None], _ramp(images).float(), factor[:, None, None])


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from black or towards it."""
    return _blend(torch.zeros((), device=images.device), _ramp(images).float(), factor[:, None, None])


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the grey image or towards it."""
    return _blend(_grey(images), images.float(), factor[:, None, None, None])


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Away from the image smoothed with (1 1 1, 1 5 1, 1 1 1) / 13 but for its border, or towards it."""
    pixels = images.float()
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * pixels[:, 1:-1, 1:-1]
    smooth = pixels.clone()
    smooth[:, 1:-1, 1:-1] = (sums / 13 + 0.5).floor()
    return _blend(smooth, pixels, factor[:, None, None, None])


def _blend(degenerate: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    """uint8: from `degenerate` (factor 0) by way of `pixels` (1) and beyond, cut off to a level as Pillow does."""
    return ((pixels - degenerate) * factor.float() + degenerate).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """(B, H, W, C), whole levels in float32, the same in each channel."""
    if images.shape[-1] == 1:
        return images.float()
    # float64 holds the sums exactly in whatever order, and is never replaced by a product of fewer bits
    weights = torch.tensor(_GREY, device=images.device, dtype=torch.float64)[:, None].expand(-1, 3)
    return (images.double() @ weights).add_(0.5).floor_().float()


def _channels(images: Tensor) -> Tensor:
    """(B, C, H · W), one channel after the other: extremes of what lies side by side are many times as fast."""
    return images.flatten(1, 2).transpose(1, 2).contiguous()


def _ramp(images: Tensor) -> Tensor:
    """(256,), every level as a number."""
    return torch.arange(256, device=images.device)


def _places(images: Tensor, tables: int) -> Tensor:
    """Where each level stands in a row of 256 for each image and each of its `tables`, (B · H · W · C,) int32."""
    count, _, width, channels = images.shape
    first = torch.arange(0, count * tables * 256, 256, device=images.device, dtype=torch.int32)
    first = first.reshape(count, 1, 1, tables).expand(-1, -1, width, channels)
    return images.flatten(2).int().add_(first.flatten(2)).reshape(-1)  # a line of an image at a time is fastest
