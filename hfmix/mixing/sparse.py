"""The sparse matrix in a plan: all that the kernels read of it, without labels."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RowSources:
    """The input rows that each output row is mixed from, `source`, and their weights, both (R, k)."""

    source: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class SparseRows(RowSources):
    """A sparse (R, N) matrix, with or without boxes, which the kernels apply to N rows.

    `hfmix.mixing.MixPlan` is one, and describes the attributes.
    """

    num_inputs: int
    box: Tensor | None = None
    box_axes: tuple[int, ...] = (-2, -1)
    box_extent: tuple[int, ...] | None = None
    resize: bool = False

    @property
    def num_rows(self) -> int:
        """R, the number of output rows."""
        return self.source.shape[0]

    def check(self, x: Tensor) -> None:
        """Raises the errors of `MixPlan.apply` if these rows cannot be mixed from `x`."""
        self._check_rows(x, "tensor")
        if self.box is not None:
            if x.ndim < 1 + len(self.box_axes):
                raise ValueError(
                    f"the box cuts {len(self.box_axes)} dimensions, the tensor has shape {tuple(x.shape)}"
                )
            extent = tuple(x.shape[axis] for axis in self.box_axes)
            if self.box_extent not in (None, extent):
                raise ValueError(
                    f"the box was drawn for size {self.box_extent} along dimensions {self.box_axes}, "
                    f"the tensor has shape {tuple(x.shape)}"
                )
        if not (x.is_floating_point() or x.dtype == torch.uint8 or self._only_selects()):
            raise TypeError(f"can mix floating-point tensors and uint8, not {x.dtype} of shape {tuple(x.shape)}")

    def _check_rows(self, x: Tensor, name: str) -> None:
        if x.ndim == 0 or x.shape[0] != self.num_inputs:
            raise ValueError(
                f"the plan was drawn for {self.num_inputs} rows, the {name} has shape {tuple(x.shape)}"
            )

    def _only_selects(self) -> bool:
        """Returns whether each output value is one input value, so that class ids and masks keep their meaning."""
        one_source = ((self.weight == 1).sum(1) == 1) & ((self.weight == 0).sum(1) == self.weight.shape[1] - 1)
        if self.box is None:
            return bool(one_source.all())
        first, last = self.box.chunk(2, dim=1)
        return bool(((last > first).all(1) | one_source).all())
