"""Row losses with sparse hard labels, in value and gradient, without (R, C) temporaries.

A formula defines a loss; `row_losses` computes it block by block, and keeps only the logits for the backward pass:
recomputing the softmax, in one fused pass over a block in the cache, costs less than fetching it.
`experiments/benchmarks/losses.py` measures the gain.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

# numbers of elements
SMALL = 2**18  # 1 MiB of float32: the plain formula is as fast, since everything fits into a core's cache
CPU_BLOCK = 2**21  # fits into the shared cache, and blocks are few enough that threads seldom wait
GPU_BLOCK = 2**24  # large enough to hide kernel launches


class RowFormula(Protocol):
    """A loss of hard labels, row by row."""

    def of_rows(self, rows: slice) -> "RowFormula":
        """Returns the formula for these rows alone."""

    def loss(self, z: Tensor) -> Tensor:
        """Computes the losses (R,) of the logits z (R, C), by differentiable operations."""

    def gradient(self, z: Tensor, grad: Tensor, out: Tensor) -> None:
        """Writes the gradient of z into `out` (R, C), given the losses' gradient `grad` (R,)."""


def row_losses(logits: Tensor, formula: RowFormula) -> Tensor:
    """Computes the losses (R,) of `logits` (R, C) in `compute_dtype`; their gradient has the logits' dtype."""
    if torch.compiler.is_compiling() or logits.numel() <= SMALL:  # a compiler fuses the plain formula itself
        return formula.loss(logits.to(compute_dtype(logits)))
    return _Blockwise.apply(logits, formula)


class _Blockwise(torch.autograd.Function):
    """A formula's row losses and their gradient, one block of rows after the other.

    A block and its gradient stay in the CPU's cache between operations, and no temporary is larger than a block,
    so that only the logits and their gradient take (R, C) memory.
    """

    @staticmethod
    def forward(logits: Tensor, formula: RowFormula) -> Tensor:
        dtype = compute_dtype(logits)
        return torch.cat([formula.of_rows(rows).loss(logits[rows].to(dtype)) for rows in _blocks(logits)])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, RowFormula], output: Tensor) -> None:
        logits, ctx.formula = inputs
        ctx.save_for_backward(logits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (logits,) = ctx.saved_tensors
        dtype = compute_dtype(logits)
        if torch.is_grad_enabled():  # create_graph=True: the gradient itself has to be differentiable
            _, pull_back = torch.func.vjp(lambda z: ctx.formula.loss(z.to(dtype)), logits)
            return pull_back(grad)[0], None
        result = torch.empty_like(logits)
        for rows in _blocks(logits):
            z, out = logits[rows].to(dtype), result[rows]
            block = out if out.dtype == dtype else torch.empty_like(z)
            ctx.formula.of_rows(rows).gradient(z, grad[rows], block)
            if block is not out:
                out.copy_(block)
        return result, None


def _blocks(logits: Tensor) -> Iterator[slice]:
    """Yields slices of rows that hold one block of elements, or a single row."""
    rows, classes = logits.shape
    elements = CPU_BLOCK if logits.device.type == "cpu" else GPU_BLOCK
    if logits.dtype != compute_dtype(logits):
        elements //= 4  # a block of half precision has its float32 copies beside it
    step = max(1, elements // classes)
    return (slice(start, start + step) for start in range(0, rows, step))


def compute_dtype(logits: Tensor) -> torch.dtype:
    """Returns float64 for float64, float32 for narrower dtypes."""
    return torch.promote_types(logits.dtype, torch.float32)


class CrossEntropyRows(NamedTuple):
    """Cross-entropy of rows, p being the softmax of z.

    ``-sum_j label_part[r, j] * log p[r, labels[r, j]] - sum_c class_part[c] * log p[r, c]``
    """

    labels: Tensor  # (R, k)
    label_part: Tensor  # (R, k)
    class_part: Tensor | None  # (C,), None: 0

    def of_rows(self, rows: slice) -> "CrossEntropyRows":
        return CrossEntropyRows(self.labels[rows], self.label_part[rows], self.class_part)

    def loss(self, z: Tensor) -> Tensor:
        log_prob = z.log_softmax(1)
        loss = -(self.label_part * log_prob.gather(1, self.labels)).sum(1)
        return loss if self.class_part is None else loss - _weighted_sum(log_prob, self.class_part)

    def gradient(self, z: Tensor, grad: Tensor, out: Tensor) -> None:
        grad = grad.unsqueeze(1)
        mass = self.label_part.sum(1, keepdim=True)
        torch.softmax(z, 1, out=out)
        if self.class_part is None:
            out.mul_(mass * grad)
        else:
            out.mul_((mass + self.class_part.sum()) * grad).addcmul_(grad, self.class_part, value=-1.0)
        out.scatter_add_(1, self.labels, -grad * self.label_part)  # adds up if a row has one class twice


class BinaryCrossEntropyRows(NamedTuple):
    """Binary cross-entropy of rows.

    ``sum_c (class_part[c] * softplus(z_c) - class_slope[c] * z_c) + sum_j label_part_j * h_j`` in each row, with
    ``h_j = label_extra_j * softplus(-z_y) - z_y`` at the label y.
    """

    labels: Tensor  # (R, k)
    label_part: Tensor  # (R, k)
    label_extra: Tensor | None  # (R, k), pos_weight - 1; None: 0
    class_part: Tensor  # (C,)
    class_slope: Tensor | None  # (C,), None: 0

    def of_rows(self, rows: slice) -> "BinaryCrossEntropyRows":
        extra = None if self.label_extra is None else self.label_extra[rows]
        return self._replace(labels=self.labels[rows], label_part=self.label_part[rows], label_extra=extra)

    def loss(self, z: Tensor) -> Tensor:
        at_label = z.gather(1, self.labels)
        at_label = -at_label if self.label_extra is None else self.label_extra * _softplus(-at_label) - at_label
        loss = _weighted_sum(_softplus(z), self.class_part) + (self.label_part * at_label).sum(1)
        return loss if self.class_slope is None else loss - _weighted_sum(z, self.class_slope)

    def gradient(self, z: Tensor, grad: Tensor, out: Tensor) -> None:
        grad = grad.unsqueeze(1)
        torch.sigmoid(z, out=out).mul_(self.class_part)
        if self.class_slope is not None:
            out.sub_(self.class_slope)
        slope = self.label_part
        if self.label_extra is not None:
            slope = slope + slope * self.label_extra * torch.sigmoid(-z.gather(1, self.labels))
        out.mul_(grad).scatter_add_(1, self.labels, -grad * slope)


def _softplus(z: Tensor) -> Tensor:
    # torch switches to the identity at 20, which is visible in float64; at 40 it is not
    return F.softplus(z, threshold=40.0)


def _weighted_sum(values: Tensor, weight: Tensor) -> Tensor:
    """Computes ``sum_c weight[c] * values[:, c]``, (R,), without an (R, C) product; autocast does not halve it."""
    device = values.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return torch.mv(values, weight)
    return torch.mv(values, weight)
