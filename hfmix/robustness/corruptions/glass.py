"""Which pixel ends up where when frosted glass shuffles an image: many small exchanges, each depending on the last.

The original visits the pixels from the last row to the first and from right to left, and exchanges each with one
nearby. Done pixel by pixel that is the slowest corruption by far; here it is an index map for the whole batch.
"""

import torch
from torch import Tensor


def glass_sources(down: Tensor, right: Tensor, delta: int, swap: bool) -> Tensor:
    """Where each pixel comes from after one pass.

    Without `swap` it is what the original does: NumPy's rows are views, so that its exchange copies the nearby
    pixel and gives nothing back. Rows and columns delta + 1 to size − delta take part, as in its loops (with
    `swap`, delta to size − delta − 1: as wide a margin on each side).

    Args:
        down, right: (B, H, W) integers from −delta to delta, how far away the partner of each pixel lies.
        delta: the margin.
        swap: a real exchange.

    Returns:
        (B, H, W) int64, indices into the H · W pixels.
    """
    if swap:
        return _by_wavefront(down, right, delta)
    return _by_doubling(down, right, delta)


def _by_doubling(down: Tensor, right: Tensor, delta: int) -> Tensor:
    """One-way copies: each pixel is written once, so it holds what a chain of partners visited before leads to.

    Node i < n is the pixel i after the pass, node n + i the same before it. Following two links at a time finds
    the end of every chain in a few steps.
    """
    b, height, width = down.shape
    n = height * width
    rows, columns = (torch.arange(size, device=down.device) for size in (height, width))
    inside = ((rows > delta) & (rows <= height - delta))[:, None] & (columns > delta) & (columns <= width - delta)
    # with size - delta as the last one, a partner at +delta would lie outside; it is not drawn
    offset = torch.where(inside, down * width + right, 0).flatten(1).long()
    place = torch.arange(n, device=down.device)
    partner = place + offset
    visited = inside.flatten()[partner] & (partner > place)
    following = torch.where(visited, partner, partner + n)
    while (pending := following < n).any():
        ahead = following.gather(1, following.clamp(max=n - 1))
        following = torch.where(pending, ahead, following)
    return (following - n).reshape(b, height, width)


def _by_wavefront(down: Tensor, right: Tensor, delta: int) -> Tensor:
    """True exchanges. Two of them touch only within 2·delta, so that those on a slanted front are independent."""
    b, height, width = down.shape
    n = height * width
    source = torch.arange(n, device=down.device).repeat(b, 1)
    if height <= 2 * delta:
        return source.reshape(b, height, width)
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
        ours, theirs = source.gather(1, here), source.gather(1, there)
        source.scatter_(1, here, theirs).scatter_(1, there, ours)
    return source.reshape(b, height, width)
