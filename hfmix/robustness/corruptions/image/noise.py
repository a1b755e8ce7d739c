"""Noises on images: Gaussian, shot, impulse and speckle.

As in every file of this folder, a corruption takes (B, H, W, C) uint8, its severity's constant, the images' keys
and whether to correct its quirks, and returns grey levels: floating point, which `corrupt` clips and converts to
uint8, or uint8 if they are whole levels already.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hfmix.utils.keyed_noise import ImageKeys


def gaussian_noise(images: Tensor, scale: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Computes x + N(0, scale) on [0, 1], independently for each element."""
    return keys.normal(images.shape[1:]).mul_(scale * 255).add_(images)


def shot_noise(images: Tensor, photons: int, keys: ImageKeys, corrected: bool) -> Tensor:
    """Computes Poisson(x · photons) / photons on [0, 1], independently for each element."""
    return poisson_counts(images, photons, keys.bits(images.shape[1:])).float().mul_(255 / photons)


def impulse_noise(images: Tensor, amount: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Sets a share `amount` of the elements to salt or pepper, half each (each channel on its own)."""
    bits = keys.bits(images.shape[1:])
    salt, pepper = (round(share * 2**32) - 2**31 for share in (amount / 2, amount))
    return images.masked_fill(bits < pepper, 0).masked_fill_(bits < salt, 255)


def speckle_noise(images: Tensor, scale: float, keys: ImageKeys, corrected: bool) -> Tensor:
    """Computes x + x · N(0, scale), independently for each element."""
    return keys.normal(images.shape[1:]).mul_(scale).add_(1).mul_(images)


def poisson_counts(images: Tensor, photons: int, bits: Tensor) -> Tensor:
    """Draws Poisson counts of mean `photons` · image / 255, cut off at `photons`, which is white already.

    A uint8 image has only 256 means, so each has an alias table (Walker 1977): the low bits choose a column, the
    other bits decide between the column and its alias.

    Args:
        images: uint8, any shape.
        photons: mean count of a white pixel.
        bits: uniform int32 of the same shape.

    Returns:
        The counts, int32 of the same shape, 0 to `photons`.
    """
    keep, alias = (table.to(images.device) for table in _alias_tables(photons))
    columns = keep.shape[1].bit_length() - 1
    column = bits & (keep.shape[1] - 1)
    entry = images.int().bitwise_left_shift_(columns).bitwise_or_(column).flatten()
    fraction = bits.bitwise_right_shift(columns).bitwise_and_((1 << 32 - columns) - 1)
    kept = fraction < keep.flatten().index_select(0, entry).view_as(bits)
    return torch.where(kept, column, alias.flatten().index_select(0, entry).view_as(bits))


@lru_cache(maxsize=32)
def _alias_tables(photons: int) -> tuple[Tensor, Tensor]:
    """Builds the alias tables, two (256, K) int32 for 256 grey levels, K the power of two above `photons`.

    The first holds how many of 2³² / K draws a column keeps for itself, the second what it stands for otherwise.
    """
    size = max(4, 1 << photons.bit_length())
    mean = torch.arange(256, dtype=torch.float64)[:, None] * (photons / 255)
    count = torch.arange(photons, dtype=torch.float64)
    share = np.zeros((256, size))
    share[:, :photons] = (torch.xlogy(count, mean) - mean - torch.lgamma(count + 1)).exp().numpy()
    share[:, photons] = np.clip(1 - share[:, :photons].sum(1), 0, None)
    share *= size / share.sum(1, keepdims=True)
    keep, alias = np.ones((256, size)), np.tile(np.arange(size), (256, 1))
    rows, left = np.arange(256), share.copy()
    # each round fills up the poorest column from the richest and settles it: as -inf it is never the richest
    # again, as +inf never the poorest
    for _ in range(size):
        poor, rich = left.argmin(1), share.argmax(1)
        lacking = 1 - left[rows, poor]
        lacking[poor == rich] = 0
        keep[rows, poor], alias[rows, poor] = 1 - lacking, rich
        share[rows, rich] -= lacking
        left[rows, rich] -= lacking
        share[rows, poor], left[rows, poor] = -math.inf, math.inf
    scaled = np.rint(np.clip(keep, 0, 1) * (2**32 // size)).astype(np.int32)
    return torch.from_numpy(scaled), torch.from_numpy(alias.astype(np.int32))
