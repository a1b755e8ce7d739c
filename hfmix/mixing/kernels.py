"""How a plan is applied to a tensor."""

import torch
from torch import Tensor


def mix_rows(x: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """``out[r] = sum_j weight[r, j] * x[source[r, j]]``, in float32 at least, cast back to `x`'s dtype.

    Args:
        x: (N, *shape) floating point or uint8.
        source: (R, k) int64 on `x`'s device.
        weight: (R, k) floating point on `x`'s device.

    Returns:
        (R, *shape) of `x`'s dtype; uint8 is rounded, not truncated.
    """
    if source.shape[1] == 1:
        return x[source[:, 0]]
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    weight = weight.to(dtype).reshape(*weight.shape, *[1] * (x.ndim - 1))
    rows = x.to(dtype)
    if source.shape[1] == 2:
        # first + w * (second - first) leaves clean rows (both sources the same) exactly as they are
        mixed = torch.lerp(rows[source[:, 0]], rows[source[:, 1]], weight[:, 1])
    else:
        mixed = rows[source[:, 0]] * weight[:, 0]
        for j in range(1, source.shape[1]):
            mixed = torch.addcmul(mixed, rows[source[:, j]], weight[:, j])
    return mixed.round().to(x.dtype) if x.dtype == torch.uint8 else mixed.to(x.dtype)
