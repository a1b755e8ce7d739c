"""Noise that depends on an image's key and a pixel's place alone: a counter-based hash, alike on every device."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK64 = (1 << 64) - 1


class ImageKeys:
    """The keys of a run of images: `uniform` and `normal` give each image the noise that its key fixes.

    Args:
        seed: of the whole evaluation.
        first_index: of the first image; the others follow.
        name: of the corruption, so that two corruptions draw differently.
        severity: likewise.
        count: B, how many images.
        device: where the noise is made.
    """

    def __init__(
        self, seed: int, first_index: int, name: str, severity: int, count: int, device: torch.device
    ) -> None:
        head = _splitmix64(_splitmix64(seed & _MASK64) ^ (zlib.crc32(name.encode()) << 8 | severity))
        keys = [_splitmix64(head ^ _splitmix64(first_index + i)) for i in range(count)]
        self._low = torch.tensor([_signed32(key) for key in keys], dtype=torch.int32, device=device)
        self._high = torch.tensor([_signed32(key >> 32) for key in keys], dtype=torch.int32, device=device)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """(B, *shape) float32, uniform on [0, 1]."""
        return (self._symmetric(shape) + 1) / 2

    def normal(self, shape: Sequence[int]) -> Tensor:
        """(B, *shape) float32, standard normal (by the inverse error function; reaches 5.4 σ)."""
        return torch.erfinv(self._symmetric(shape)).mul_(2**0.5)

    def _symmetric(self, shape: Sequence[int]) -> Tensor:
        """(B, *shape) float32, on (-1, 1) in 2²⁴ steps symmetric about 0."""
        place = torch.arange(torch.Size(shape).numel(), dtype=torch.int32, device=self._low.device)
        bits = _mix32(_mix32(place ^ self._low[:, None]) ^ self._high[:, None])
        return ((bits >> 8).float() + 0.5).div_(2**23).reshape(-1, *shape)


def _mix32(x: Tensor) -> Tensor:
    """A 32-bit integer mixer with two multiplications (C. Wellons, "lowbias32"), on wrapping int32."""
    x = (x ^ (x >> 16 & 0xFFFF)) * 0x7FEB352D
    x = (x ^ (x >> 15 & 0x1FFFF)) * _signed32(0x846CA68B)
    return x ^ (x >> 16 & 0xFFFF)


def _splitmix64(x: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014) after one step of its counter."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK64
    return x ^ (x >> 31)


def _signed32(x: int) -> int:
    x &= 0xFFFFFFFF
    return x - (1 << 32) if x >= 1 << 31 else x
