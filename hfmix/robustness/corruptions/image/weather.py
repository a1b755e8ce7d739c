"""Weather in images: snow, frost, fog and brightness."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hfmix.robustness.corruptions.image.filters import as_pixels, clipped_zoom, motion_blurred, whole_levels
from hfmix.robustness.corruptions.image.textures import frost_textures
from hfmix.utils.keyed_noise import ImageKeys

LUMA = (0.299, 0.587, 0.114)


def snow(images: Tensor, constants: tuple[float, ...], keys: ImageKeys, corrected: bool) -> Tensor:
    """Adds flakes, thresholded noise enlarged and motion-blurred at −135° to −45°, to a paler image."""
    loc, scale, zoom, threshold, radius, sigma, kept = constants
    layer = keys.normal(images.shape[1:3]).mul_(scale).add_(loc).unsqueeze(1)
    degrees = keys.uniform((), stream=1).mul_(90).sub_(135)
    flakes = snow_flakes(layer, zoom, threshold, radius, sigma, degrees, corrected)
    levels = images.float()
    grey = luma(levels) * 1.5 + 0.5 * 255
    pale = kept * levels + (1 - kept) * torch.maximum(levels, grey)
    return pale.add_(as_pixels(flakes + flakes.flip(2, 3)))


def snow_flakes(
    layer: Tensor, zoom: float, threshold: float, radius: float, sigma: float, degrees: Tensor, corrected: bool
) -> Tensor:
    """Draws flakes, (B, 1, H, W) float32 in whole grey levels, from a layer of noise of that shape on [0, 1]."""
    layer = clipped_zoom(layer, zoom, corrected)
    flakes = whole_levels(torch.where(layer < threshold, 0, layer) * 255, corrected)
    return motion_blurred(flakes.float(), radius, sigma, degrees).round_()


def frost(images: Tensor, constants: tuple[float, float], keys: ImageKeys, corrected: bool) -> Tensor:
    """Adds a crop of one of the frost textures to a dimmed image."""
    kept, added = constants
    height, width = images.shape[1:3]
    textures = frost_textures(height, width)
    # the original draws from five of its six textures, and never their last row or column
    count, last = (len(textures), 1) if corrected else (5, 0)
    crops = []
    for which, down, right in keys.uniform((3,)).tolist():
        texture = textures[int(which * count)]
        y, x = (
            int(u * (t - s + last)) for u, t, s in zip((down, right), texture.shape, (height, width), strict=False)
        )
        crops.append(texture[y : y + height, x : x + width])
    return torch.stack(crops).to(images.device).float().mul_(added).add_(images, alpha=kept)


def fog(images: Tensor, constants: tuple[float, float], keys: ImageKeys, corrected: bool) -> Tensor:
    """Adds a plasma fractal, and scales the sum back to the image's own maximum."""
    thickness, decay = constants
    height, width = images.shape[1:3]
    doublings = (max(height, width, 2) - 1).bit_length()
    draws = [keys.uniform((3, 1 << i, 1 << i), stream=i).mul_(2).sub_(1) for i in range(doublings)]
    brightest = images.amax(dim=(1, 2, 3), keepdim=True).float()
    clouds = plasma_fractal(draws, decay)[:, :height, :width, None]
    return clouds.mul(thickness * 255).add(images).mul_(brightest / (brightest + thickness * 255))


def brightness(images: Tensor, shift: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Raises the value of HSV by `shift`: colours scale by V'/V, black becomes grey."""
    levels = images.float()
    value = levels.amax(dim=-1, keepdim=True)
    raised = (value + shift * 255).clamp(max=255)
    return torch.where(value > 0, levels * (raised / value.clamp(min=1)), raised)


def luma(levels: Tensor) -> Tensor:
    """Converts (..., 3) to grey, (..., 1), by ITU-R BT.601; returns (..., 1) as it is."""
    if levels.shape[-1] == 1:
        return levels
    red, green, blue = (part * weight for part, weight in zip(levels.unbind(-1), LUMA, strict=True))
    return (red + green + blue).unsqueeze(-1)


def plasma_fractal(draws: Sequence[Tensor], decay: float) -> Tensor:
    """Draws clouds on [0, 1] by the diamond-square algorithm on a torus.

    Args:
        draws: for each doubling i, (B, 3, 2ⁱ, 2ⁱ) uniform on [-1, 1]: for the squares' centres, the points to the
            right of a corner, and those below one.
        decay: each doubling's noise is `decay`² times weaker; squared, because the original scales a uniform draw
            on ±w by w.

    Returns:
        The clouds, (B, S, S) float32, S = 2 to the number of doublings.
    """
    corner = torch.zeros_like(draws[0][:, 0])
    for i, noise in enumerate(draws):
        centre_noise, right_noise, below_noise = (noise * decay ** (-2 * i)).unbind(1)
        pairs = corner + corner.roll(-1, 1)
        centre = (pairs + pairs.roll(-1, 2)) / 4 + centre_noise
        right = (centre + centre.roll(1, 1) + corner + corner.roll(-1, 2)) / 4 + right_noise
        below = (centre + centre.roll(1, 2) + corner + corner.roll(-1, 1)) / 4 + below_noise
        upper, lower = torch.stack([corner, right], -1).flatten(2), torch.stack([below, centre], -1).flatten(2)
        corner = torch.stack([upper, lower], 2).flatten(1, 2)
    low, high = corner.aminmax(dim=1)
    low, high = low.amin(1)[:, None, None], high.amax(1)[:, None, None]
    return (corner - low) / (high - low)
