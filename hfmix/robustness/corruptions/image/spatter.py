"""Spatter of water or mud, and the steps that it takes from OpenCV: edges, distances to them, and equalisation.

OpenCV's steps are reimplemented for a batch of (B, H, W) layers: edges exactly, distances to 1e-4 of a pixel.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.corruptions.image.filters import smoothed, whole_levels
from hfmix.utils.keyed_noise import ImageKeys

WATER = (175, 238, 238)
MUD = (63, 42, 20)
# OpenCV's chamfer costs (1, 1.4 and 2.1969) and the original's largest distance, in 1/65536 pixel
STRAIGHT, DIAGONAL, KNIGHT, _FARTHEST = 65536, 91750, 143976, 20 * 65536


def spatter(images: Tensor, constants: tuple[float, ...], keys: ImageKeys, corrected: bool) -> Tensor:
    """Adds drops where smoothed noise is above a threshold: lit water at severities 1 to 3, mud at 4 and 5."""
    loc, scale, sigma, threshold, strength, mud = constants
    noise = smoothed(keys.normal(images.shape[1:3]).mul_(scale).add_(loc), sigma)
    layer = torch.where(noise < threshold, 0, noise)
    if mud:
        cover = mud_cover(layer, threshold, strength).unsqueeze(-1)
        return images * (1 - cover) + cover * cover.new_tensor(MUD)
    shine = water_shine(layer).unsqueeze(-1)
    brightest = shine.amax((1, 2), keepdim=True)
    levels = images + shine * (strength / brightest.clamp(min=1)) * shine.new_tensor(WATER)
    # where no drop shines, the original divides 0 by 0 and the image turns black
    return levels if corrected else torch.where(brightest > 0, levels, 0)


def mud_cover(layer: Tensor, threshold: float, sigma: float) -> Tensor:
    """Computes how opaque the mud is, (B, H, W): 0, or 0.8 to 1."""
    cover = smoothed((layer > threshold).float(), sigma)
    return torch.where(cover < 0.8, 0, cover)


def water_shine(layer: Tensor) -> Tensor:
    """Computes how brightly drops shine, (B, H, W), unscaled: the layer times the lit relief of edge distances."""
    levels = whole_levels(layer * 255, corrected=False)
    far = chamfer_distance(canny_edges(levels, 50, 150))
    relief = equalized((sum(_neighbours(far, "reflect")) // (9 * STRAIGHT)).to(torch.uint8))
    light = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
    lit = sum(w * near for w, near in zip(sum(light, ()), _neighbours(relief.float(), "reflect"), strict=True))
    return levels * (sum(_neighbours(lit.clamp(0, 255), "reflect")) / 9).round()


def canny_edges(levels: Tensor, low: int, high: int) -> Tensor:
    """Finds Canny edges as OpenCV does (3×3 Sobel, L1 norm): boolean (B, H, W) from uint8 (B, H, W)."""
    a, b, c, d, _, f, g, h, i = _neighbours(levels.float(), "replicate")
    across = (c + 2 * f + i - a - 2 * d - g).int()
    down = (g + 2 * h + i - a - 2 * b - c).int()
    x, y = across.abs(), down.abs() << 15
    strength = (x + down.abs()).float()
    up_left, up, up_right, left, _, right, low_left, below, low_right = _neighbours(strength, "constant")
    # tan 22.5° and tan 67.5° in OpenCV's 15-bit fixed point
    flat = y < x * 13573
    steep = y > x * 13573 + (x << 16)
    falling = (across ^ down) >= 0
    first = torch.where(falling, up_left, up_right)
    second = torch.where(falling, low_right, low_left)
    diagonal = (strength > first) & (strength > second)
    vertical = (strength > up) & (strength >= below)
    horizontal = (strength > left) & (strength >= right)
    crest = torch.where(flat, horizontal, torch.where(steep, vertical, diagonal))
    weak = crest & (strength > low)
    edges, grown = weak & (strength > high), None
    while grown is None or not torch.equal(edges, grown):
        edges = edges if grown is None else grown
        grown = weak & (F.max_pool2d(edges.float().unsqueeze(1), 3, 1, 1).squeeze(1) > 0)
    return edges


def chamfer_distance(edges: Tensor) -> Tensor:
    """Computes each pixel's distance to the nearest edge, at most 20, by OpenCV's two passes of a 5×5 mask.

    A step costs 1 straight, 1.4 diagonally and 2.1969 as a knight moves. Within a row only the straight steps
    depend on each other; they are a running minimum.

    Args:
        edges: (B, H, W) boolean.

    Returns:
        The distances, (B, H, W) int32 in 1/65536 of a pixel, as OpenCV counts.
    """
    height, width = edges.shape[1:]
    start = torch.where(edges, 0, _FARTHEST).to(torch.int32)
    # rows come first, so that each is contiguous
    far = F.pad(start.transpose(0, 1), (2, 2, 0, 0, 2, 2), value=_FARTHEST)
    ramp = torch.arange(width, device=edges.device, dtype=torch.int32) * STRAIGHT
    for _ in range(2):
        for y in range(2, height + 2):
            two, one, row = far[y - 2], far[y - 1], far[y, :, 2 : width + 2]
            diagonal = torch.minimum(one[:, 1 : width + 1], one[:, 3 : width + 3]).add_(DIAGONAL)
            knight = torch.minimum(one[:, :width], one[:, 4:])
            for side in (two[:, 1 : width + 1], two[:, 3 : width + 3]):
                torch.minimum(knight, side, out=knight)
            best = torch.minimum(one[:, 2 : width + 2] + STRAIGHT, diagonal)
            for candidate in (knight.add_(KNIGHT), row):
                torch.minimum(best, candidate, out=best)
            row.copy_(best.sub_(ramp).cummin(1).values.add_(ramp))
        far = far.flip(0, 2)  # the second pass is the first one upside down
    return far[2 : height + 2, :, 2 : width + 2].transpose(0, 1)


def equalized(levels: Tensor) -> Tensor:
    """Equalises the histogram of each of (B, H, W) uint8 over 0 to 255, as OpenCV's equalizeHist does."""
    flat = levels.flatten(1).long()
    histogram = torch.zeros(len(flat), 256, device=flat.device).scatter_add_(
        1, flat, torch.ones_like(flat).float()
    )
    lowest = flat.amin(1, keepdim=True)
    at_lowest = histogram.gather(1, lowest)
    others = flat.shape[1] - at_lowest
    spread = ((histogram.cumsum(1) - at_lowest) * (255 / others.clamp(min=1))).round()
    spread = torch.where(others > 0, spread, lowest)
    return spread.gather(1, flat).clamp(0, 255).to(torch.uint8).reshape(levels.shape)


def _neighbours(planes: Tensor, border: str) -> list[Tensor]:
    """Returns the nine shifts of (B, H, W) that cover each pixel's 3×3, row by row; `border` as in F.pad."""
    height, width = planes.shape[1:]
    padded = F.pad(planes.unsqueeze(1), (1, 1, 1, 1), mode=border).squeeze(1)
    return [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
