"""Plans applied with plain torch operations: the definition that the faster kernels agree with."""

import torch
from torch import Tensor

from hfmix.mixing.sparse import SparseRows


def mix(x: Tensor, plan: SparseRows) -> Tensor:
    """Computes ``out[r] = sum_j weight[r, j] * x[source[r, j]]``; inside row r's box, its second source.

    Rows are added up in float32 at least. The host reads no value of the plan, so that nothing waits for a device
    and no graph breaks.

    Args:
        x: (N, *shape); integers other than uint8 and booleans are selected, never multiplied.

    Returns:
        (R, *shape) of `x`'s dtype; uint8 is rounded, not truncated.
    """
    source, weight = plan.source.to(x.device), plan.weight.to(x.device)
    if plan.box is None:
        return weighted_sum(x, source, weight)
    starts, stops = plan.box.to(x.device).chunk(2, dim=1)
    # a row with a box starts as its first source; one without is mixed as a whole
    first_only = torch.zeros_like(weight)
    first_only[:, 0] = 1.0
    mixed = weighted_sum(x, source, torch.where((stops > starts).all(1, keepdim=True), first_only, weight))
    inside, patch = torch.ones((), dtype=torch.bool, device=x.device), x[source[:, 1]]
    for d, axis in enumerate(plan.box_axes):
        start, stop = starts[:, d : d + 1], stops[:, d : d + 1]
        position = torch.arange(x.shape[axis], device=x.device)
        inside = inside & _along((position >= start) & (position < stop), axis, x.ndim)
        if plan.resize:
            patch = patch.gather(axis, _along(nearest(position, start, stop), axis, x.ndim).expand_as(patch))
    return torch.where(inside, patch, mixed)


def nearest(position: Tensor, start: Tensor | int, stop: Tensor | int) -> Tensor:
    """Returns the pixel that lands at `position` when a row of ``len(position)`` is shrunk to [start, stop)."""
    size = position.numel()
    length = torch.as_tensor(stop - start).clamp(min=1)
    return torch.div((position - start) * size, length, rounding_mode="floor").clamp(0, size - 1)


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype in which rows of `dtype` are added up: float32 at least."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def weighted_sum(x: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    if not (x.is_floating_point() or x.dtype == torch.uint8):
        return x[source.gather(1, weight.argmax(1, keepdim=True)).squeeze(1)]
    dtype = accumulation_dtype(x.dtype)
    weight = weight.to(dtype).reshape(*weight.shape, *[1] * (x.ndim - 1))
    mixed = x[source[:, 0]].to(dtype) * weight[:, 0]
    for j in range(1, source.shape[1]):
        mixed = torch.addcmul(mixed, x[source[:, j]].to(dtype), weight[:, j])
    return mixed.round().to(x.dtype) if x.dtype == torch.uint8 else mixed.to(x.dtype)


def _along(values: Tensor, axis: int, ndim: int) -> Tensor:
    """Reshapes (R, size) values to `ndim` dimensions, with `size` at `axis` and ones elsewhere."""
    shape = [values.shape[0]] + [1] * (ndim - 1)
    shape[axis] = values.shape[1]
    return values.reshape(shape)
