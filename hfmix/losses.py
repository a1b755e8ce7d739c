"""The loss of mixed rows, read from sparse targets."""

from typing import Literal

import torch
from torch import Tensor

from hfmix.mixing.targets import MixedTargets


def mixed_cross_entropy(
    logits: Tensor,
    targets: MixedTargets,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of mixed rows: ``sum_j label_weight[r, j] * CE(logits[r], labels[r, j])``, then reduced.

    For hard labels one log-softmax and k gathers, without an (R, C) target. Computed in float32 at least.

    Args:
        logits: (R, C).
        targets: from `MixPlan.targets`.
        weight: (C,) class weights. They do not enter the mean's denominator, unlike in torch's index form, so that
            the loss keeps one scale under accumulation.
        label_smoothing: ε in [0, 1]: the target becomes (1 − ε) y + ε / C.
        reduction: "mean" is ``sum_r row_weight[r] * loss[r] / N`` with N the number of *input* examples; "sum" is
            the same without the division; "none" gives the (R,) losses without their row weights.

    Raises:
        ValueError: the shapes do not fit together, or a setting is out of range.
    """
    rows = targets.labels.shape[0]
    if logits.ndim != 2 or logits.shape[0] != rows:
        raise ValueError(f"logits are ({rows}, classes) for these targets, not {tuple(logits.shape)}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing lies in [0, 1], not {label_smoothing}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    num_classes = logits.shape[1]
    log_prob = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
    if weight is not None:
        if weight.shape != (num_classes,):
            raise ValueError(f"weight is ({num_classes},) for these logits, not {tuple(weight.shape)}")
        log_prob = log_prob * weight
    if targets.labels.is_floating_point():
        loss = -(targets.dense(num_classes) * log_prob).sum(1)
    else:
        loss = -(targets.label_weight * log_prob.gather(1, targets.labels)).sum(1)
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing / num_classes * log_prob.sum(1)
    if reduction == "none":
        return loss
    total = (targets.row_weight * loss).sum()
    return total if reduction == "sum" else total / targets.num_inputs
