"""The shuffle of glass blur: many small exchanges of pixels, each depending on the one before.

The original visits the pixels from the last row to the first and from right to left, and exchanges each with one
nearby. Pixel by pixel that is by far the slowest corruption; here it is one index map for the whole batch.
"""

import torch
from torch import Tensor


def glass_sources(down: Tensor, right: Tensor, delta: int, swap: bool) -> Tensor:
    """Computes where each pixel comes from after one pass.

    Without `swap` it does what the original does: NumPy's rows are views, so its exchange copies the nearby pixel
    and gives nothing back. Rows and columns delta + 1 to size - delta take part, as in its loops (with
    `swap`, delta to size - delta - 1: as wide a margin on each side).

    Args:
        down, right: (B, H, W) int32, the offset of each pixel's partner: -delta to delta, without `swap` to
            delta - 1.
        delta: the margin.
        swap: exchange the two pixels instead of copying one way.

    Returns:
        (B, H * W) int64, indices into the pixels.
    """
    return _by_wavefront(down, right, delta) if swap else _by_doubling(down, right, delta)


def _by_doubling(down: Tensor, right: Tensor, delta: int) -> Tensor:
    """Resolves one-way copies: a pixel is written once, so its source is the end of a chain of earlier partners.

    Node i < B·n is a pixel after the pass, node B·n + i the same pixel before it. Pointer doubling finds the end
    of every chain in a few steps.
    """
    b, height, width = down.shape
    n, device = height * width, down.device
    rows, columns = (torch.arange(size, device=device) for size in (height, width))
    inside = ((rows > delta) & (rows <= height - delta))[:, None] & (columns > delta) & (columns <= width - delta)
    offset = (down * width + right).mul_(inside).flatten()
    place = torch.arange(b * n, dtype=torch.int32, device=device)
    following = place + offset
    visited = inside.repeat(b, 1, 1).flatten().index_select(0, following).logical_and_(offset > 0)
    following.add_(visited.logical_not(), alpha=b * n)
    pending = visited.nonzero().squeeze(1)
    while len(pending):
        ahead = following.index_select(0, following.index_select(0, pending))
        following.index_copy_(0, pending, ahead)
        pending = pending[ahead < b * n]
    first = torch.arange(b, device=device)[:, None] * n
    return (following - b * n).reshape(b, n) - first


def _by_wavefront(down: Tensor, right: Tensor, delta: int) -> Tensor:
    """Resolves true exchanges; two interact only within 2·delta, so those on a slanted front are independent."""
    b, height, width = down.shape
    n = height * width
    source = torch.arange(n, device=down.device).repeat(b, 1)
    if height <= 2 * delta:
        return source
    partner = torch.arange(n, device=down.device) + (down * width + right).flatten(1).long()
    slant = 2 * delta + 1
    rows = torch.arange(height - delta - 1, delta - 1, -1, device=down.device)
    for step in range(len(rows) * slant + width):
        columns = width - delta - 1 - step + slant * torch.arange(len(rows), device=down.device)
        active = (columns >= delta) & (columns < width - delta)
        here = (rows * width + columns)[active].expand(b, -1)
        if here.shape[1] == 0:
            continue
        there = partner.gather(1, here)
        from_here, from_there = source.gather(1, here), source.gather(1, there)
        source.scatter_(1, here, from_there).scatter_(1, there, from_here)
    return source
