"""A batch's draw: which rows are mixed with which weights, and how that applies to inputs and labels."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, overload

import torch
from torch import Tensor

from hfmix.mixing import kernels
from hfmix.mixing.sparse import RowSources, SparseRows
from hfmix.mixing.targets import MixedTargets, check_labels

# names of padding masks and of lengths in a batch's dictionary
MASK_NAMES = ("attention_mask", "padding_mask", "pixel_mask")
LENGTH_NAMES = ("lengths", "input_lengths")


@dataclass(frozen=True, eq=False)
class _RowWeights(RowSources):
    label_weight: Tensor
    row_weight: Tensor


@dataclass(frozen=True, eq=False)
class MixPlan(SparseRows, _RowWeights):  # the last base's fields come first: the order of the attributes below
    """A sparse (R, N) matrix: each of R output rows is a weighted sum of k of the N input rows.

    ``out[r] = sum_j weight[r, j] * x[source[r, j]]``. ERM is the identity (R = N, k = 1), mixup has R = N and
    k = 2, RegMixup has R = 2N: the clean rows first, then the mixed ones. With a box, ``out[r]`` is row
    ``source[r, 0]`` outside of it and row ``source[r, 1]`` inside; a row whose box is empty is the weighted sum.

    Attributes:
        source: (R, k) int64, indices of input rows.
        weight: (R, k) float32, what each source contributes to the input; with a box, its share of the pixels.
        label_weight: (R, k) float32, what each source contributes to the label.
        row_weight: (R,) float32, what each output row contributes to the loss.
        num_inputs: N, the size of the batch that the plan was drawn for; the loss is divided by it.
        box: None, (R, 4) half-open y0, x0, y1, x1, or (R, 2) start, stop.
        box_axes: the dimensions of the input that the box cuts.
        box_extent: the sizes of these dimensions when the box was drawn; an input of another size is refused.
            None: unchecked.
        resize: row ``source[r, 1]`` is shrunk into the box as a whole, instead of cut out by it.
        layer: the module whose output is mixed, for `hfmix.mixing.mixing_at`; None: the input.
    """

    layer: str | None = None

    @overload
    def apply(self, x: Tensor, out: Tensor | None = None) -> Tensor: ...
    @overload
    def apply(self, x: Mapping[str, Any], out: None = None) -> dict[str, Any]: ...

    def apply(self, x: Tensor | Mapping[str, Any], out: Tensor | None = None) -> Tensor | dict[str, Any]:
        """Returns the mixed batch, (R, *shape), of `x`, (N, *shape); `x` stays as it is and gradients flow.

        Mixed in float32 at least; uint8 is rounded to the nearest level. Other integers and booleans, such as
        segmentation masks, can be cut by a box but not mixed. `out`, if given, receives the rows, without
        gradient. A dictionary is mixed entry by entry, padding masks and lengths under their usual names
        (MASK_NAMES, LENGTH_NAMES) by `apply_mask` and `apply_lengths`.

        Raises:
            ValueError: `x` does not have N rows, `out` has another shape or dtype than the result or shares its
                memory, or `x` has another size than the box was drawn for.
            TypeError: `x` holds integers other than uint8, and some row is mixed as a whole.
        """
        if isinstance(x, Mapping):
            return {name: self._apply_entry(name, value) for name, value in x.items()}
        self.check(x)
        if out is None:
            return kernels.mix(x, self)
        shape = (self.num_rows, *x.shape[1:])
        if out.shape != shape or out.dtype != x.dtype:
            raise ValueError(f"out is {tuple(out.shape)} {out.dtype}, the mixed batch is {tuple(shape)} {x.dtype}")
        if out.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() and x.numel():
            raise ValueError("out shares the memory of the input: use apply_, which mixes in place")
        return kernels.mix_into(x, self, out)

    def apply_(self, x: Tensor) -> Tensor:
        """Mixes `x` in place and returns it; on the CPU with one more row and 4 MiB of memory at most.

        ResizeMix needs up to two rows more, for its patch. The batch is copied where rows are mixed from three or
        more and boxes are cut too, or where there are gaps between its values.

        Raises:
            ValueError: the plan gives another number of rows than it takes (RegMixup gives 2N).
            ValueError, TypeError: as `apply`.
        """
        if self.num_rows != self.num_inputs:
            raise ValueError(
                f"the plan turns {self.num_inputs} rows into {self.num_rows}: apply_ needs as many, use apply"
            )
        self.check(x)
        return kernels.mix_in_place(x, self)

    def apply_mask(self, mask: Tensor) -> Tensor:
        """Returns the union, (R, L), of the padding masks of each row's sources; `mask` is (N, L), 1 is real."""
        self._check_rows(mask, "mask")
        used = (self.weight > 0).to(mask.device).reshape(*self.weight.shape, *[1] * (mask.ndim - 1))
        return ((mask[self.source.to(mask.device)] != 0) & used).any(1).to(mask.dtype)

    def apply_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the length, (R,), of the longest of each row's sources; `lengths` is (N,)."""
        self._check_rows(lengths, "lengths")
        used = (self.weight > 0).to(lengths.device)
        return (lengths[self.source.to(lengths.device)] * used).amax(1)

    @overload
    def targets(self, labels: Tensor) -> MixedTargets: ...
    @overload
    def targets(self, labels: Mapping[str, Tensor]) -> dict[str, MixedTargets]: ...

    def targets(self, labels: Tensor | Mapping[str, Tensor]) -> MixedTargets | dict[str, MixedTargets]:
        """Returns the labels of the mixed rows.

        Args:
            labels: (N,) integer class indices, or (N, C) soft or multi-hot; or a dictionary of these, one a head.

        Raises:
            ValueError: labels of another shape or kind.
        """
        if isinstance(labels, Mapping):
            return {head: self.targets(of_head) for head, of_head in labels.items()}
        device = labels.device
        return MixedTargets(
            labels=check_labels(labels, self.num_inputs)[self.source.to(device)],
            label_weight=self.label_weight.to(device),
            row_weight=self.row_weight.to(device),
            num_inputs=self.num_inputs,
        )

    def to(self, device: torch.device | str) -> "MixPlan":
        """Returns the plan on `device`; `apply` itself moves what it needs."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in tensors.items() if isinstance(v, Tensor)})

    def _apply_entry(self, name: str, value: Any) -> Any:
        if name in MASK_NAMES:
            return self.apply_mask(value)
        if name in LENGTH_NAMES:
            return self.apply_lengths(value)
        if not isinstance(value, Tensor | Mapping):
            raise TypeError(f"can mix tensors and dictionaries of tensors: {name!r} is a {type(value).__name__}")
        return self.apply(value)
