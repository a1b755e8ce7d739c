"""How a plan is applied to a tensor: row by row on the CPU, one fused kernel on a GPU, plain torch elsewhere.

`functional` is the definition: differentiable, compilable, for any device. The others give the same numbers with
less traffic, and are taken where no gradient is recorded and no graph is traced.
"""

import warnings
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hfmix.mixing.kernels import functional, rows

if TYPE_CHECKING:
    from hfmix.mixing.plan import MixPlan


def mix(x: Tensor, plan: "MixPlan") -> Tensor:
    """The mixed rows, (R, *shape), in `x`'s dtype and memory format; gradients flow to `x`."""
    if _plain(x):
        return functional.mix(x, plan)
    return mix_into(x, plan, empty_rows(x, plan.num_rows))


def mix_into(x: Tensor, plan: "MixPlan", out: Tensor) -> Tensor:
    """`mix` written into `out`, (R, *shape), which shares no memory with `x`."""
    if not (_plain(x) or _plain(out)):
        if x.device.type == "cpu":
            rows.mix_into(x, plan, out)
            return out
        fused = _fused(x.device)
        if fused is not None and fused.mix_into(x, plan, out):
            return out
    return out.copy_(functional.mix(x, plan))


def mix_in_place(x: Tensor, plan: "MixPlan") -> Tensor:
    """`mix` written into `x`, for a plan with R = N."""
    if _plain(x):
        return x.copy_(functional.mix(x, plan))
    kernel = rows if x.device.type == "cpu" else _fused(x.device)
    if kernel is not None and kernel.mix_in_place(x, plan):
        return x
    return x.copy_(mix(x, plan))


def empty_rows(x: Tensor, num_rows: int) -> Tensor:
    """Uninitialised memory for `num_rows` rows such as `x`'s, channels-last where `x` is."""
    out = torch.empty_like(x) if num_rows == len(x) else x.new_empty(0)
    if num_rows == len(x):
        return out
    strides = torch.empty_like(x[:1]).stride() if len(x) else x.stride()
    row = strides[0] if x.ndim > 1 else 1
    return torch.empty_strided((num_rows, *x.shape[1:]), (row, *strides[1:]), dtype=x.dtype, device=x.device)


def _plain(x: Tensor) -> bool:
    """Whether plain torch operations are needed: a gradient is recorded, a graph traced, or `x` is special."""
    return torch.compiler.is_compiling() or type(x) is not Tensor or (x.requires_grad and torch.is_grad_enabled())


@cache
def _fused(device: torch.device) -> ModuleType | None:
    """The fused kernel, which imports Triton, at the first batch on a GPU; None where Triton does not run."""
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
