"""Pillow's operations on the levels of images, for batches: the same level in every pixel, on any device.

Each takes (B, H, W, C) uint8, of one channel or of red, green and blue, and gives the same; an argument is one number
for each image, (B,). Arithmetic follows Pillow's step by step: float64 where that is Python, float32 where it is C.
A Pillow that is compiled to multiply and add in one rounding (not so on x86-64) may blend to the level beside.
"""

import torch
from torch import Tensor

_GREY = (19595, 38470, 7471)  # of 65536: ITU-R 601-2, as Pillow's conversion to L weighs red, green and blue


def auto_contrast(levels: Tensor) -> Tensor:
    """Each channel is stretched, so that its darkest level becomes 0 and its brightest 255."""
    low, high = (level.double()[..., None] for level in _extremes(levels))
    scale = torch.full_like(high, 255) / (high - low)  # a number by a tensor would be rounded twice
    stretched = (_ramp(levels) * scale + -low * scale).clamp(0, 255)
    return _look_up(levels, stretched.where(high > low, _ramp(levels)))


def equalize(levels: Tensor) -> Tensor:
    """Each channel's levels are spread, so that they come about equally often."""
    images, height, width, channels = levels.shape
    counts = torch.bincount(_places(levels, channels), minlength=images * channels * 256)
    counts = counts.reshape(images, channels, 256)
    brightest = counts.gather(-1, _extremes(levels)[1].long()[..., None])
    step = (height * width - brightest) // 255
    spread = (step // 2 + counts.cumsum(-1) - counts) // step.clamp(min=1)
    return _look_up(levels, spread.clamp(max=255).where(step > 0, _ramp(levels)))


def invert(levels: Tensor) -> Tensor:
    """255 minus the level."""
    return 255 - levels


def posterize(levels: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits`, from 1 to 8."""
    return levels & (256 - (1 << (8 - bits))).to(torch.uint8)[:, None, None, None]


def solarize(levels: Tensor, threshold: Tensor) -> Tensor:
    """Inverts levels from `threshold` on, which is from 0 to 256."""
    return torch.where(levels < threshold.to(torch.int16)[:, None, None, None], levels, 255 - levels)


def solarize_add(levels: Tensor, added: Tensor) -> Tensor:
    """Adds, from 0 to 128, to the levels below 128."""
    return torch.where(levels < 128, levels + added.to(torch.uint8)[:, None, None, None], levels)


def color(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from the grey image (factor above 1) or towards it."""
    image = levels.float()
    return _blend(_grey(image), image, factor)


def contrast(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean of the grey image, a whole level, or towards it."""
    grey = _grey(levels.float()).long()
    pixels = grey[0].numel()
    mean = (2 * grey.sum((1, 2, 3)) + pixels) // (2 * pixels)
    return _look_up(levels, _blend(mean.float()[:, None, None, None], _ramp(levels).float(), factor)[:, 0])


def brightness(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from black or towards it."""
    return _blend(torch.zeros((), device=levels.device), levels.float(), factor)


def sharpness(levels: Tensor, factor: Tensor) -> Tensor:
    """Away from the image smoothed with (1 1 1, 1 5 1, 1 1 1) / 13, or towards it; the border stays."""
    image = levels.float()
    rows = image[:, :-2] + image[:, 1:-1] + image[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * image[:, 1:-1, 1:-1]
    smooth = image.clone()
    smooth[:, 1:-1, 1:-1] = (sums / 13 + 0.5).floor()
    return _blend(smooth, image, factor)


def _blend(degenerate: Tensor, image: Tensor, factor: Tensor) -> Tensor:
    """uint8: from `degenerate` (factor 0) by way of `image` (1) and beyond, cut off to a level as Pillow does."""
    blended = (image - degenerate) * factor.float()[:, None, None, None] + degenerate
    return blended.clamp(0, 255).to(torch.uint8)


def _grey(image: Tensor) -> Tensor:
    """(B, H, W, 1), whole levels in float32, in which the weighted sum is exact (it stays below 2²⁴)."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = (image[..., i : i + 1] * weight for i, weight in enumerate(_GREY))
    return ((red + green + blue + 0x8000) / 65536).floor()


def _extremes(levels: Tensor) -> tuple[Tensor, Tensor]:
    """The darkest and the brightest level of each channel, (B, C) each."""
    flat = levels.flatten(1, 2)
    return flat.amin(1), flat.amax(1)


def _ramp(levels: Tensor) -> Tensor:
    """(256,), every level as a number."""
    return torch.arange(256, device=levels.device)


def _look_up(levels: Tensor, tables: Tensor) -> Tensor:
    """Each level by the table of its image and channel: tables (B, C or 1, 256), cut off to levels."""
    found = tables.to(torch.uint8).reshape(-1).index_select(0, _places(levels, tables.shape[1]))
    return found.reshape(levels.shape)


def _places(levels: Tensor, tables: int) -> Tensor:
    """Where each level stands in one row of 256 for each image and each of its `tables`, (B · H · W · C,) int32."""
    first = torch.arange(0, len(levels) * tables * 256, 256, device=levels.device, dtype=torch.int32)
    return (levels + first.reshape(-1, 1, 1, tables)).reshape(-1)
