"""Labels of mixed rows, kept sparse: k labels and k weights a row instead of one number a class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class MixedTargets:
    """The labels of R mixed rows, for `hfmix.mixed_cross_entropy` and `hfmix.mixed_binary_cross_entropy`.

    Attributes:
        labels: (R, k) int64 class indices, or (R, k, C) floating point for soft or multi-hot labels.
        label_weight: (R, k) float32, each label's weight.
        row_weight: (R,) float32, each row's weight in the loss.
        num_inputs: N, the number of input examples, by which the loss is divided.
    """

    labels: Tensor
    label_weight: Tensor
    row_weight: Tensor
    num_inputs: int

    def dense(self, num_classes: int) -> Tensor:
        """Returns the targets as (R, C) float32; for hard labels, a row's sum is that of its label weights.

        Raises:
            ValueError: a label lies outside [0, num_classes), or soft labels have another number of classes.
        """
        if self.labels.is_floating_point():
            if self.labels.shape[-1] != num_classes:
                raise ValueError(f"soft labels have {self.labels.shape[-1]} classes, expected {num_classes}")
            return (self.label_weight.unsqueeze(-1) * self.labels.float()).sum(1)
        check_classes(self.labels, num_classes)
        dense = torch.zeros(len(self.labels), num_classes, device=self.labels.device)
        return dense.scatter_add_(1, self.labels, self.label_weight)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "MixedTargets":
        """Returns the targets on `device`; `accelerate` calls this to move a batch."""
        return replace(self, **{k: t.to(device, non_blocking=non_blocking) for k, t in self._tensors().items()})

    def pin_memory(self) -> "MixedTargets":
        """Returns the targets in page-locked memory; a DataLoader calls this."""
        return replace(self, **{k: t.pin_memory() for k, t in self._tensors().items()})

    def ne(self, other: Any) -> Tensor:
        """Returns (N,) trues, which the stock Trainer counts to divide the loss of an accumulated batch."""
        return torch.ones(self.num_inputs, dtype=torch.bool, device=self.labels.device)

    def __getattr__(self, name: str) -> Any:
        # reached by a loss that takes them for a tensor, as that of a model which is given them as its labels
        hint = ""
        if not name.startswith("_") and hasattr(Tensor, name):
            hint = (
                ": these are the labels of mixed rows, which only hfmix's losses take; give the Trainer "
                "compute_loss_func=hfmix.MixLoss(), or call hfmix.mixed_cross_entropy(logits, targets)"
            )
        raise AttributeError(f"MixedTargets has no attribute {name!r}{hint}")

    def _tensors(self) -> dict[str, Tensor]:
        return {"labels": self.labels, "label_weight": self.label_weight, "row_weight": self.row_weight}


Labels = Tensor | Mapping[str, Tensor]
"""(N,) class indices, (N, C) soft or multi-hot, or a dictionary of these, one entry a head."""


def check_labels(labels: Tensor, num_inputs: int) -> Tensor:
    """Returns `labels` as (N,) int64 class indices or (N, C) floating point; integer multi-hot becomes float32.

    Raises:
        ValueError: labels of another shape or kind.
    """
    if labels.shape[:1] != (num_inputs,):
        raise ValueError(f"the plan was drawn for {num_inputs} rows, the labels have shape {tuple(labels.shape)}")
    if labels.ndim == 1 and not labels.is_floating_point() and labels.dtype != torch.bool:
        return labels.long()
    if labels.ndim == 2 and labels.is_floating_point():
        return labels
    if labels.ndim == 2 and (labels.device.type != "cpu" or bool(((labels == 0) | (labels == 1)).all())):
        return labels.float()
    raise ValueError(
        f"labels are (N,) integer class indices, (N, C) floating point, or (N, C) of zeros and ones, "
        f"not shape {tuple(labels.shape)} {labels.dtype}"
    )


def check_classes(labels: Tensor, num_classes: int) -> None:
    """Checks that class indices fit; waits for the device that `labels` are on.

    Raises:
        ValueError: a label lies outside [0, num_classes).
    """
    if labels.numel() == 0:
        return
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= num_classes:
        raise ValueError(f"label {low if low < 0 else high} lies outside the {num_classes} classes")
