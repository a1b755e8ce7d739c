"""A loss of one's own on mixed rows, and the focal loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.losses.blockwise import compute_dtype
from hfmix.losses.mixed import Reduction, checked, reduced
from hfmix.mixing import MixedTargets

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""``fn(logits (R, C), labels) -> (R,)``; labels are (R,) class indices, or (R, C) soft or multi-hot."""


def mixed_row_loss(
    logits: Tensor,
    targets: MixedTargets,
    row_loss: RowLoss,
    *,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Computes mixed rows' loss ``sum_j label_weight[r, j] * row_loss(logits, labels[:, j])[r]``, reduced.

    Args:
        logits: the model's logits, (R, C); `row_loss` gets them in float32 at least.
        targets: from `MixPlan.targets`.
        row_loss: the loss of unmixed rows, one number a row, called once for each of the k labels of the rows.
        weight: (C,) class weights, by which the loss of a label's class is multiplied; for class indices only.
            They do not enter the mean's denominator.
        reduction: "mean", "sum" or "none", as for `mixed_cross_entropy`.

    Raises:
        TypeError: an argument, or what `row_loss` returns, has a wrong type.
        ValueError: the shapes do not fit together, or `row_loss` gives anything but one number a row.
    """
    labels, label_weight, (weight,) = checked(logits, targets, 0.0, reduction, {"weight": weight})
    if weight is not None and labels.is_floating_point():
        raise ValueError("class weights of a row_loss need class indices, not soft or multi-hot labels")
    z = logits.to(compute_dtype(logits))
    parts = []
    for j in range(labels.shape[1]):
        part = row_loss(z, labels[:, j])
        _check_rows(part, z)
        share = label_weight[:, j]
        parts.append((share if weight is None else share * weight[labels[:, j]]) * part)
    return reduced(sum(parts), targets, reduction)


def _check_rows(losses: Tensor, logits: Tensor) -> None:
    if not isinstance(losses, Tensor):
        raise TypeError(f"row_loss returns a tensor with one loss a row, not {type(losses).__name__}")
    if losses.shape != logits.shape[:1]:
        raise ValueError(
            f"row_loss returns {tuple(losses.shape)} for logits {tuple(logits.shape)}, it has to be "
            f"({len(logits)},), one loss a row: torch's losses take reduction='none'"
        )
    if logits.requires_grad and torch.is_grad_enabled() and not losses.requires_grad:
        raise ValueError("row_loss returns losses without a gradient: compute them from the logits by torch alone")


@dataclass(frozen=True)
class FocalLoss:
    """The focal loss (arXiv 1708.02002) of softmax classifiers, as a `row_loss`: ``-(1 - p_y)^gamma log p_y``.

    With gamma 0 it is the cross-entropy. For soft labels it is the labels' average over the classes.

    Args:
        gamma: how much less well-classified rows count, 0 or more.

    Raises:
        ValueError: gamma is negative or not finite.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma < float("inf"):
            raise ValueError(f"focal_gamma is a finite number from 0, not {self.gamma}")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Computes the losses (R,) of logits (R, C); labels are (R,) class indices or (R, C) distributions."""
        log_prob = F.log_softmax(logits, 1)
        if not labels.is_floating_point():
            return self._of(log_prob.gather(1, labels.unsqueeze(1)).squeeze(1))
        return (labels.to(log_prob.dtype) * self._of(log_prob)).sum(1)

    def _of(self, log_prob: Tensor) -> Tensor:
        # not 1 - p, which is 0 in float32 for p near 1; and the gradient of 0 ** gamma, below 1, is infinite
        rest = (-torch.expm1(log_prob)).clamp_min(torch.finfo(log_prob.dtype).tiny)
        return -(rest**self.gamma) * log_prob
