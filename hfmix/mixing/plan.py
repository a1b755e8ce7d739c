"""One batch's draw: which rows are mixed with which weights, and what that makes of inputs and labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.mixing.kernels import mix_rows


@dataclass(frozen=True, eq=False)
class MixPlan:
    """A sparse (R, N) matrix: each of R output rows is a weighted sum of k of the N input rows.

    ``out[r] = sum_j weight[r, j] * x[source[r, j]]``. ERM is the identity (R = N, k = 1), mixup has R = N and
    k = 2, RegMixup has R = 2N: the clean rows first, then the mixed ones.

    Attributes:
        source: (R, k) int64, indices of input rows.
        weight: (R, k) float32, what each source contributes to the input.
        label_weight: (R, k) float32, what each source contributes to the label.
        row_weight: (R,) float32, what each output row contributes to the loss.
        num_inputs: N, the size of the batch that the plan was drawn for; the loss is divided by it.
        box: None: rows are mixed whole.
    """

    source: Tensor
    weight: Tensor
    label_weight: Tensor
    row_weight: Tensor
    num_inputs: int
    box: None = None

    @property
    def num_rows(self) -> int:
        """R, the number of output rows."""
        return self.source.shape[0]

    def apply(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """The mixed batch, (R, *shape), of `x`, (N, *shape); `x` is left as it is and gradients flow.

        uint8 is rounded to the nearest level. `out`, if given, receives the rows (no gradient then).

        Raises:
            ValueError: `x` does not have N rows, or `out` has another shape or dtype than the result.
            TypeError: `x` holds integers other than uint8.
        """
        if x.ndim == 0 or x.shape[0] != self.num_inputs:
            raise ValueError(
                f"the plan was drawn for {self.num_inputs} rows, the tensor has shape {tuple(x.shape)}"
            )
        if not (x.is_floating_point() or x.dtype == torch.uint8):
            raise TypeError(f"can mix floating-point tensors and uint8, not {x.dtype}")
        mixed = mix_rows(x, self.source.to(x.device), self.weight.to(x.device))
        if out is None:
            return mixed
        if out.shape != mixed.shape or out.dtype != mixed.dtype:
            raise ValueError(
                f"out is {tuple(out.shape)} {out.dtype}, the mixed batch is {tuple(mixed.shape)} {mixed.dtype}"
            )
        return out.copy_(mixed)

    def apply_(self, x: Tensor) -> Tensor:
        """`apply` written back into `x`.

        Raises:
            ValueError: the plan gives another number of rows than it takes (RegMixup gives 2N).
        """
        if self.num_rows != self.num_inputs:
            raise ValueError(
                f"the plan turns {self.num_inputs} rows into {self.num_rows}: apply_ needs as many, use apply"
            )
        return self.apply(x, out=x)

    def targets(self, labels: Tensor) -> "MixedTargets":
        """The labels of the mixed rows, for `labels` (N,) int class indices or (N, C) soft or multi-hot.

        Raises:
            ValueError: another shape, or soft labels that are not floating point.
        """
        if labels.shape[:1] != (self.num_inputs,):
            raise ValueError(
                f"the plan was drawn for {self.num_inputs} rows, the labels have shape {tuple(labels.shape)}"
            )
        if labels.ndim != (2 if labels.is_floating_point() else 1):
            raise ValueError(
                f"labels are (N,) integer class indices or (N, C) floating point, "
                f"not shape {tuple(labels.shape)} {labels.dtype}"
            )
        device = labels.device
        return MixedTargets(
            labels=labels[self.source.to(device)],
            label_weight=self.label_weight.to(device),
            row_weight=self.row_weight.to(device),
            num_inputs=self.num_inputs,
        )


@dataclass(frozen=True, eq=False)
class MixedTargets:
    """The labels of R mixed rows, kept sparse: k labels and k weights a row instead of (R, C) floats.

    Attributes:
        labels: (R, k) int64 class indices, or (R, k, C) where the batch had soft labels.
        label_weight: (R, k) float32.
        row_weight: (R,) float32.
        num_inputs: N, the number of input examples.
    """

    labels: Tensor
    label_weight: Tensor
    row_weight: Tensor
    num_inputs: int

    def dense(self, num_classes: int) -> Tensor:
        """The targets as (R, C) float32; for hard labels each row sums to 1.

        Raises:
            ValueError: a label lies outside [0, num_classes), or soft labels have another number of classes.
        """
        weight = self.label_weight.unsqueeze(-1)
        if self.labels.is_floating_point():
            if self.labels.shape[-1] != num_classes:
                raise ValueError(f"soft labels have {self.labels.shape[-1]} classes, expected {num_classes}")
            return (weight * self.labels.float()).sum(1)
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= num_classes:
            raise ValueError(f"label {low if low < 0 else high} lies outside the {num_classes} classes")
        return (weight * F.one_hot(self.labels, num_classes)).sum(1)
