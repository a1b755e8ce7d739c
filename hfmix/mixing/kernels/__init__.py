"""Application of a plan to a tensor: row by row on the CPU, one fused kernel on a GPU, plain torch elsewhere.

`functional` is the definition: differentiable, compilable, for any device. The others give the same numbers with
less memory traffic, and are used where no gradient is recorded and no graph is traced.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from hfmix.mixing.kernels import functional, rows
from hfmix.mixing.sparse import SparseRows


def mix(x: Tensor, plan: SparseRows) -> Tensor:
    """Returns the mixed rows, (R, *shape), in `x`'s dtype and memory format; gradients flow to `x`."""
    if _plain(x):
        return functional.mix(x, plan)
    return mix_into(x, plan, empty_rows(x, plan.num_rows))


def mix_into(x: Tensor, plan: SparseRows, out: Tensor) -> Tensor:
    """Writes the mixed rows into `out`, (R, *shape), which shares no memory with `x`, and returns it."""
    if not (_plain(x) or _plain(out)):
        if x.device.type == "cpu":
            rows.mix_into(x, plan, out)
            return out
        fused = _fused(x.device)
        if fused is not None and fused.mix_into(x, plan, out):
            return out
    return out.copy_(functional.mix(x, plan))


def mix_in_place(x: Tensor, plan: SparseRows) -> Tensor:
    """Writes the mixed rows into `x`, for a plan with R = N, and returns it."""
    if _plain(x):
        return x.copy_(functional.mix(x, plan))
    kernel = rows if x.device.type == "cpu" else _fused(x.device)
    if kernel is not None and kernel.mix_in_place(x, plan):
        return x
    return x.copy_(mix(x, plan))


def mix_samples(samples: Sequence[Tensor], plan: SparseRows) -> Tensor:
    """Returns the mixed rows of N tensors of one shape, each mixed while it is stacked.

    In a DataLoader's worker the result lies in shared memory, which saves one copy.

    Raises:
        ValueError, TypeError: as `MixPlan.apply`.
    """
    first = samples[0]
    if rows.is_small(first) or any(_plain(sample) or not sample.is_contiguous() for sample in samples):
        stacked = torch.stack(list(samples))
        in_place = plan.num_rows == plan.num_inputs and not stacked.requires_grad
        plan.check(stacked)
        return mix_in_place(stacked, plan) if in_place else mix(stacked, plan)
    plan.check(first.expand(len(samples), *first.shape))
    shape = (plan.num_rows, *first.shape)
    if torch.utils.data.get_worker_info() is None:
        out = first.new_empty(shape)
    else:
        storage = torch.UntypedStorage._new_shared(plan.num_rows * first.nbytes, device="cpu")
        out = torch.empty(0, dtype=first.dtype).set_(storage, 0, shape)
    rows.mix_into(samples, plan, out)
    return out


def empty_rows(x: Tensor, num_rows: int) -> Tensor:
    """Allocates `num_rows` rows shaped as those of `x`, uninitialised, channels-last where `x` is."""
    if num_rows == len(x):
        return torch.empty_like(x)
    # rows one after the other, each laid out as in x: the batch's own stride says nothing where x is transposed
    row = torch.empty_like(x[0], device="meta")
    strides = (row.numel(), *row.stride())
    return torch.empty_strided((num_rows, *row.shape), strides, dtype=x.dtype, device=x.device)


def _plain(x: Tensor) -> bool:
    """Returns whether plain torch is needed: a gradient is recorded, a graph traced, or `x` is of a subclass."""
    return torch.compiler.is_compiling() or type(x) is not Tensor or (x.requires_grad and torch.is_grad_enabled())


@cache
def _fused(device: torch.device) -> ModuleType | None:
    """Imports the fused kernel, and so Triton, at the first batch on a GPU; None where Triton does not run."""
    if device.type != "cuda":
        return None
    try:
        from hfmix.mixing.kernels import fused
    except ImportError:
        return None
    try:
        fused.try_out(device)
    except Exception as error:  # no C compiler, a GPU that Triton does not know, no room for its cache, ...
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"Triton does not run on {device}, so batches are mixed more slowly: {reason}", stacklevel=2)
        return None
    return fused
