"""Noise that depends only on an image's key and a pixel's place: a counter-based hash, equal on every device."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hfmix.utils.randomness import splitmix64

_MASK64 = (1 << 64) - 1
_STREAM_BITS = 27  # 16 streams of 2²⁷ places fill an int32


class ImageKeys:
    """The keys of consecutive images: `uniform`, `normal` and `bits` draw each image's noise from its key.

    A corruption that draws several things uses a `stream` for each, 0 to 15; the same stream gives the same values
    again.

    Args:
        seed: seed of the whole evaluation.
        first_index: index of the first image; the others follow.
        name: name of the corruption, so that two corruptions draw differently.
        severity: severity of the corruption, likewise.
        count: B, the number of images.
        device: device of the noise.
    """

    def __init__(
        self, seed: int, first_index: int, name: str, severity: int, count: int, device: torch.device
    ) -> None:
        name_and_severity = np.array([zlib.crc32(name.encode()) << 8 | severity], dtype=np.uint64)
        head = splitmix64(splitmix64(np.array([seed & _MASK64], dtype=np.uint64)) ^ name_and_severity)
        places = np.arange(first_index, first_index + count, dtype=np.int64).astype(np.uint64)
        keys = torch.from_numpy(splitmix64(head ^ splitmix64(places)).view(np.int32).reshape(count, 2))
        self._low, self._high = keys.to(device).contiguous().unbind(1)

    def uniform(self, shape: Sequence[int], stream: int = 0) -> Tensor:
        """Draws (B, *shape) float32, uniform on [0, 1) in 2²⁴ steps."""
        return _shifted(self.bits(shape, stream), 8).float().div_(2**24)

    def normal(self, shape: Sequence[int], stream: int = 0) -> Tensor:
        """Draws (B, *shape) float32, standard normal (by the inverse error function; reaches 5.4 σ)."""
        symmetric = self.bits(shape, stream).bitwise_right_shift_(8).float().add_(0.5).div_(2**23)
        return torch.erfinv(symmetric).mul_(2**0.5)

    def bits(self, shape: Sequence[int], stream: int = 0) -> Tensor:
        """Draws (B, *shape) int32, uniform on all 2³² values."""
        start = stream << _STREAM_BITS
        count = torch.Size(shape).numel()
        place = torch.arange(start, start + count, dtype=torch.int32, device=self._low.device)
        bits = _mix32_(place ^ self._low[:, None])
        return _mix32_(bits.bitwise_xor_(self._high[:, None])).reshape(-1, *shape)


def _mix32_(x: Tensor) -> Tensor:
    """Hashes wrapping int32 in place, with two multiplications (C. Wellons, "lowbias32")."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x.bitwise_xor_(_shifted(x, shift)).mul_(_signed32(factor))
    return x.bitwise_xor_(_shifted(x, 16))


def _shifted(x: Tensor, by: int) -> Tensor:
    """Shifts right logically; `>>` repeats the sign."""
    return x.bitwise_right_shift(by).bitwise_and_((1 << 32 - by) - 1)


def _signed32(x: int) -> int:
    x &= 0xFFFFFFFF
    return x - (1 << 32) if x >= 1 << 31 else x
