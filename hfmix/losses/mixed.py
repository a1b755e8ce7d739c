"""Losses of mixed rows, from sparse targets: for class indices no (R, C) target is ever built."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.losses.blockwise import BinaryCrossEntropyRows, CrossEntropyRows, compute_dtype, row_losses
from hfmix.mixing import MixedTargets
from hfmix.mixing.targets import check_classes

Reduction = Literal["mean", "sum", "none"]


def mixed_cross_entropy(
    logits: Tensor,
    targets: MixedTargets,
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Computes mixed rows' cross-entropy ``sum_j label_weight[r, j] * CE(logits[r], labels[r, j])``, reduced.

    For hard labels, value and gradient of large logits are computed in blocks of rows, and only the logits are
    kept between forward and backward. The loss is computed in float32 at least; its gradient has the logits'
    dtype. Targets and weights are constants: no gradient reaches them.

    Args:
        logits: the model's logits, (R, C).
        targets: from `MixPlan.targets`; soft labels are distributions over the classes.
        weight: (C,) class weights. They do not enter the mean's denominator, unlike in torch's index form, so that
            the loss keeps one scale under accumulation.
        label_smoothing: ε in [0, 1]: the target becomes (1 − ε) y + ε / C.
        reduction: "mean" is ``sum_r row_weight[r] * loss[r] / N`` with N the number of *input* examples; "sum" is
            the same without the division; "none" gives the (R,) losses without row weights.

    Raises:
        TypeError: `logits`, `targets` or `weight` has a wrong type.
        ValueError: the shapes do not fit together, or a setting is out of range. On the CPU also: a label is out
            of range, soft labels are no distribution, a weight is negative or not finite. (On a GPU, the check
            would cost a synchronisation.)
    """
    labels, label_weight, (weight,) = checked(logits, targets, label_smoothing, reduction, {"weight": weight})
    num_classes = logits.shape[1]
    if labels.is_floating_point():
        if _is_readable(labels):
            _check_distributions(labels)
        dense = targets.dense(num_classes).detach().to(logits.device, label_weight.dtype)
        z = logits.to(label_weight.dtype)
        rows = F.cross_entropy(z, dense, weight, label_smoothing=label_smoothing, reduction="none")
    else:
        label_part = label_weight if weight is None else label_weight * weight[labels]
        class_part = None
        if label_smoothing:
            label_part = (1.0 - label_smoothing) * label_part
            by_class = label_weight.new_ones(num_classes) if weight is None else weight
            class_part = label_smoothing / num_classes * by_class
        rows = row_losses(logits, CrossEntropyRows(labels, label_part, class_part))
    return reduced(rows, targets, reduction)


def mixed_binary_cross_entropy(
    logits: Tensor,
    targets: MixedTargets,
    *,
    weight: Tensor | None = None,
    pos_weight: Tensor | Sequence[float] | float | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Computes the binary cross-entropy of mixed rows, the mean over classes in each row, reduced.

    With the mixed target ``t[r, c] = sum_j label_weight[r, j] * [labels[r, j] = c]`` a row's loss is
    ``mean_c weight[c] * (pos_weight[c] * t[r, c] * softplus(-z[r, c]) + (1 - t[r, c]) * softplus(z[r, c]))``.
    It is linear in t, so class indices need one sum over the classes and k gathers. Precision, gradients,
    reduction and errors are as for `mixed_cross_entropy`.

    Args:
        logits: the model's logits, (R, C).
        targets: from `MixPlan.targets`; soft and multi-hot labels lie in [0, 1].
        weight: (C,) class weights; they do not enter the mean's denominator.
        pos_weight: (C,) weights of the positive part of each class, or one number for all of them
            (`hfmix.losses.balanced_pos_weight` computes those that make up for rare classes).
        label_smoothing: ε in [0, 1]: the target becomes (1 − ε) t + ε / C.
        reduction: "mean", "sum" or "none".

    Raises:
        TypeError, ValueError: as `mixed_cross_entropy`, but soft labels have to lie in [0, 1].
    """
    labels, label_weight, (weight, pos_weight) = checked(
        logits, targets, label_smoothing, reduction, {"weight": weight, "pos_weight": as_pos_weight(pos_weight)}
    )
    num_classes = logits.shape[1]
    keep, smooth = 1.0 - label_smoothing, label_smoothing / num_classes
    if labels.is_floating_point():
        if _is_readable(labels):
            _check_range(labels, 1.0, "labels of a binary cross-entropy lie in [0, 1]")
        dense = targets.dense(num_classes).detach().to(logits.device, label_weight.dtype)
        z = logits.to(label_weight.dtype)
        rows = F.binary_cross_entropy_with_logits(
            z, keep * dense + smooth, weight, pos_weight=pos_weight, reduction="none"
        ).mean(1)
    else:
        ones = label_weight.new_ones(num_classes)
        by_class = (ones if weight is None else weight) / num_classes
        positive = ones if pos_weight is None else pos_weight
        formula = BinaryCrossEntropyRows(
            labels,
            label_part=keep * label_weight * by_class[labels],
            label_extra=None if pos_weight is None else positive[labels] - 1.0,
            # the smoothed part of the target is the same in every row, and so part of the sum over the classes
            class_part=by_class * (1.0 + smooth * (positive - 1.0)),
            class_slope=smooth * by_class * positive if label_smoothing else None,
        )
        rows = row_losses(logits, formula)
    return reduced(rows, targets, reduction)


def reduced(rows: Tensor, targets: MixedTargets, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return rows
    row_weight = targets.row_weight.detach().to(rows.device, rows.dtype)
    return torch.dot(row_weight if reduction == "sum" else row_weight / targets.num_inputs, rows)


def checked(
    logits: Tensor,
    targets: MixedTargets,
    label_smoothing: float,
    reduction: str,
    weights: dict[str, Tensor | None],
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """Checks all; returns labels, label weights and class weights on the logits' device, in the loss's dtype."""
    if not isinstance(targets, MixedTargets):
        raise TypeError(f"targets are MixedTargets, from plan.targets(labels), not {type(targets).__name__}")
    rows = targets.labels.shape[0]
    if logits.ndim != 2 or logits.shape[0] != rows:
        raise ValueError(f"logits are ({rows}, classes) for these targets, not {tuple(logits.shape)}")
    if not logits.is_floating_point():
        raise TypeError(f"logits are floating point, not {logits.dtype}")
    check_smoothing(label_smoothing)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    num_classes, dtype = logits.shape[1], compute_dtype(logits)
    on_device: list[Tensor | None] = []
    for name, weight in weights.items():
        if weight is not None:
            check_weight(name, weight, num_classes)
            weight = weight.detach().to(logits.device, dtype).expand(num_classes)
        on_device.append(weight)
    labels = targets.labels
    if not labels.is_floating_point() and _is_readable(labels):
        check_classes(labels, num_classes)
    labels = labels.detach().to(logits.device)
    return labels, targets.label_weight.detach().to(logits.device, dtype), on_device


def _is_readable(tensor: Tensor) -> bool:
    """Returns whether values can be read without stalling a GPU or breaking a compiled graph."""
    return not torch.compiler.is_compiling() and tensor.device.type == "cpu"


def check_smoothing(label_smoothing: float) -> None:
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing lies in [0, 1], not {label_smoothing}")


def as_pos_weight(given: Any) -> Any:
    """Returns the weights of the positives as a tensor if they are a number or a list of them; others as given."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if is_number or (isinstance(given, list | tuple) and all(isinstance(entry, int | float) for entry in given)):
        return torch.tensor(given, dtype=torch.float32)
    return given


def check_weight(name: str, weight: Tensor, num_classes: int | None) -> None:
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} is a tensor with one entry a class, not {type(weight).__name__}")
    is_one_for_all = name == "pos_weight" and weight.ndim == 0
    if not is_one_for_all and (weight.ndim != 1 or num_classes not in (None, len(weight))):
        expected = (
            "one-dimensional, one entry a class" if num_classes is None else f"({num_classes},) for these logits"
        )
        raise ValueError(f"{name} is {expected}, not {tuple(weight.shape)}")
    if weight.numel() and _is_readable(weight):
        low, high = (float(entry) for entry in weight.detach().aminmax())
        if not 0.0 <= low <= high < float("inf"):  # false for NaN as well
            wrong = high if low >= 0.0 else low
            raise ValueError(
                f"{name} {tuple(weight.shape)} has the entry {wrong}, entries are finite and not negative"
            )


def _check_distributions(labels: Tensor) -> None:
    _check_range(labels, float("inf"), "soft labels of a cross-entropy are not negative")
    sums = labels.detach().sum(-1, dtype=compute_dtype(labels))
    tolerance = 1e-2 if labels.element_size() < 4 else 1e-3
    off = (sums - 1.0).abs() > tolerance
    if off.any():
        row = int(off.any(1).nonzero()[0])
        raise ValueError(
            f"soft labels {tuple(labels.shape)} sum to {float(sums[row][off[row]][0]):.6g} in row {row}, a "
            f"cross-entropy takes 1: for multi-hot labels there is mixed_binary_cross_entropy, in MixTrainer "
            f"with loss_kind binary_cross_entropy"
        )


def _check_range(labels: Tensor, highest: float, expected: str) -> None:
    if not labels.numel():
        return
    low, high = (float(label) for label in labels.detach().aminmax())
    if not 0.0 <= low <= high <= highest:
        wrong = high if low >= 0.0 else low
        raise ValueError(f"{expected}, labels {tuple(labels.shape)} hold {wrong}")
