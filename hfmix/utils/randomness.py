"""Randomness from keys: the same integers give the same draw, independent of earlier draws."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def keyed_randomness(*key: int) -> Iterator[None]:
    """Seeds torch (on the CPU), Python's `random` and NumPy's global generator by `key`, within the block.

    Transforms draw from these three and take no generator. Afterwards their states are as before; only a normal
    variate that NumPy's global generator had kept back, the second of a pair, is lost.
    """
    seeds = key_seeds(*key)
    torch_state, python_state = torch.default_generator.get_state(), random.getstate()
    numpy_generator = np.random.get_bit_generator()  # replaced: copying its state costs more than all the rest
    torch.default_generator.manual_seed(seeds[0])
    random.seed(seeds[1])
    np.random.set_bit_generator(np.random.PCG64(seeds[2]))
    try:
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        random.setstate(python_state)
        np.random.set_bit_generator(numpy_generator)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keyed_generator(*key: int) -> torch.Generator:
    """Returns a CPU generator that depends only on `key`, such as (seed, global step, micro-step, process).

    Keys that differ anywhere, also in length, give unrelated streams (SHA-256 of the written-out key).
    """
    return torch.Generator().manual_seed(key_seeds(*key)[0])


def key_seeds(*key: int) -> list[int]:
    """Returns four unrelated 64-bit seeds that depend only on `key`."""
    digest = hashlib.sha256(",".join(str(int(part)) for part in key).encode()).digest()
    return [int.from_bytes(digest[start : start + 8], "little") for start in range(0, 32, 8)]


def hashed_uniforms(count: int, rows: np.ndarray, *key: int) -> np.ndarray:
    """Draws (N, count) float64, uniform on [0, 1); row i depends only on ``rows[i]`` and `key`.

    For many rows at once: the finaliser of SplitMix64 over their numbers, where `keyed_generator` would need one
    generator a row.
    """
    head = np.array([key_seeds(*key)[0]], dtype=np.uint64)
    state = splitmix64(head ^ splitmix64(rows.astype(np.uint64)))
    steps = np.arange(count, dtype=np.uint64) * _GOLDEN
    return (splitmix64(state[:, None] + steps) >> np.uint64(11)) * 2.0**-53


def splitmix64(x: np.ndarray) -> np.ndarray:
    """Applies one counter step and the finaliser of SplitMix64 (Steele, Lea & Flood 2014), on uint64."""
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """Returns a NumPy generator seeded by one draw from `generator` (None: torch's global generator).

    NumPy draws beta variates in float64, for any concentration, from a given generator; torch's public
    distributions take none.
    """
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(0, 2**63 - 1, (), generator=generator, device=device, dtype=torch.int64)
    return np.random.default_rng(int(seed))
