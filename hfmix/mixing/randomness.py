"""Randomness as a key: the same integers give the same draw, whatever was drawn before."""

import hashlib

import numpy as np
import torch


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator that depends on `key` alone, such as (seed, global step, micro-step, process).

    Keys that differ anywhere, also in length, give unrelated streams (SHA-256 of the written-out key).
    """
    return torch.Generator().manual_seed(key_seeds(*key)[0])


def key_seeds(*key: int) -> list[int]:
    """Four unrelated seeds of 64 bits that depend on `key` alone."""
    digest = hashlib.sha256(",".join(str(int(part)) for part in key).encode()).digest()
    return [int.from_bytes(digest[start : start + 8], "little") for start in range(0, 32, 8)]


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by one draw from `generator` (None: from torch's global one).

    NumPy draws beta variates in float64, for any concentration, from a generator of their own; torch's public
    distributions take none.
    """
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(0, 2**63 - 1, (), generator=generator, device=device, dtype=torch.int64)
    return np.random.default_rng(int(seed))
