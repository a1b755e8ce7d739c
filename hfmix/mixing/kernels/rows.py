"""Plans applied on the CPU, where memory traffic counts: rows are read and written while they are in cache."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from hfmix.mixing.kernels.functional import accumulation_dtype, nearest, weighted_sum
from hfmix.mixing.sparse import SparseRows

# a call of torch takes as long as mixing some ten KiB: smaller rows are mixed many at a time
_LARGE_ROW = 64 * 1024
_BLOCK = 4 * 1024 * 1024
_SAVED = -1


def mix_into(x: Tensor | Sequence[Tensor], plan: SparseRows, out: Tensor) -> None:
    """Writes the mixed rows to `out`, (R, *shape), from `x`, (N, *shape) or N tensors that are not stacked yet."""
    host = host_of(plan)
    if isinstance(x, Tensor):
        if _mix_small_rows(x, host, out) or _cut_small_rows(x, host, out):
            return
        x = x.unbind(0)
    into = out.unbind(0)
    for r in host.reading_order:
        host.write_row(r, into[r], [x[i] for i in host.source[r]])


def mix_in_place(x: Tensor, plan: SparseRows) -> bool:
    """Mixes `x` in place, with one row or `_BLOCK` of memory, the larger; returns False if it cannot."""
    host = host_of(plan)
    if not host.own_first or len(host.source[0]) != 2:
        return _mix_columns(x, plan)
    if _mix_small_rows(x, host, x) or _cut_small_rows(x, host, x):
        return True
    into, saved = x.unbind(0), None
    for r, partner in in_place_order([second for _, second in host.source]):
        if r == _SAVED:
            saved = torch.empty_like(into[partner]) if saved is None else saved
            saved.copy_(into[partner])
        else:
            host.write_row(r, into[r], [into[r], saved if partner == _SAVED else into[partner]])
    return True


# a value must not refer to its key, or no plan would ever be freed
_HOST_ROWS: WeakKeyDictionary[SparseRows, "HostRows"] = WeakKeyDictionary()


def host_of(plan: SparseRows) -> "HostRows":
    """Returns the plan as plain Python values, remembered as long as the plan lives."""
    host = _HOST_ROWS.get(plan)
    if host is None:
        host = _HOST_ROWS[plan] = HostRows(plan)
    return host


class HostRows:
    """A plan as plain Python values, for the CPU's kernels.

    Attributes:
        source, weight: (R, k) lists.
        box: (R, 4) or (R, 2) lists, or None.
        box_axes: the dimensions of the batch that the box cuts.
    """

    def __init__(self, plan: SparseRows) -> None:
        self._num_inputs, self._resize = plan.num_inputs, plan.resize
        self._source, self._weight = plan.source.cpu().numpy(), plan.weight.cpu().numpy()
        self.source: list[list[int]] = self._source.tolist()
        self.weight: list[list[float]] = self._weight.tolist()
        self.box: list[list[int]] | None = None if plan.box is None else plan.box.tolist()
        self.box_axes = plan.box_axes

    @cached_property
    def own_first(self) -> bool:
        """Tells whether R = N and row r's first source is r."""
        n = self._num_inputs
        return len(self.source) == n and np.array_equal(self._source[:, 0], np.arange(n))

    @cached_property
    def reading_order(self) -> list[int]:
        """Returns the plan's `reading_order`."""
        return reading_order(self.source)

    @cached_property
    def blend(self) -> "Blend | None":
        """Returns the plan as whole-batch operations; None if it does more than interpolate pairs of rows."""
        source, weight, n = self._source, self._weight, self._num_inputs
        if self.box is not None or source.shape[1] != 2 or np.abs(weight.sum(1) - 1.0).max() >= 1e-6:
            return None
        identity = np.arange(n)
        leading_clean = len(source) > n and np.array_equal(source[:n, 0], identity) and (weight[:n, 0] == 1).all()
        return Blend(source, weight, clean=n if leading_clean else 0, num_inputs=n)

    @cached_property
    def shared_box(self) -> tuple[list[int], Tensor] | None:
        """Returns the one box of all rows that are cut, and the (N,) partners; None if rows differ in more."""
        n = self._num_inputs
        if self.box is None or not self.own_first or self._source.shape[1] != 2 or self._resize:
            return None
        partner, box = self._source[:, 1], np.asarray(self.box)
        # a row that is not cut has itself for a partner, so that pasting changes nothing
        cut = partner != np.arange(n)
        if not cut.any() or (box[cut] != box[cut][0]).any() or (self._weight[~cut].sum(1) != 1.0).any():
            return None
        return box[cut][0].tolist(), torch.from_numpy(partner.copy())

    def write_row(self, r: int, out: Tensor, sources: Sequence[Tensor]) -> None:
        """Writes row r of the plan from its sources; `out` may be the first of them, but none of the others."""
        cut = None if self.box is None else self._region(r, out)
        if cut is None:
            weighted_row(out, sources, self.weight[r])
            return
        if out is not sources[0]:
            out.copy_(sources[0])
        out[cut].copy_(self._patch(sources[1], cut))

    def _region(self, r: int, row: Tensor) -> tuple[slice, ...] | None:
        # axes count from the batch dimension, which a row lacks, or from the end
        axes = [axis if axis < 0 else axis - 1 for axis in self.box_axes]
        return region(self.box[r], axes, row.ndim)

    def _patch(self, partner: Tensor, cut: tuple[slice, ...]) -> Tensor:
        if not self._resize:
            return partner[cut]
        for axis, side in enumerate(cut):
            if side != slice(None):
                pixels = nearest(torch.arange(partner.shape[axis]), side.start, side.stop)[side]
                partner = partner.index_select(axis, pixels)
        return partner


class Blend:
    """A plan of pairs as whole-batch operations: `clean` rows copied, the others ``lerp(x[first], x[second])``.

    Attributes:
        clean: how many leading rows are the input as it is (RegMixup's N).
        first, second: int64 indices of the other rows' sources; `first` is None where it is 0 to N−1.
        share: the weight of `second`: a number where all rows have the same, else (R − clean, 1) float32.
    """

    def __init__(self, source: np.ndarray, weight: np.ndarray, clean: int, num_inputs: int) -> None:
        first, share = source[clean:, 0], weight[clean:, 1:]
        self.clean = clean
        self.first = None if np.array_equal(first, np.arange(num_inputs)) else torch.from_numpy(first.copy())
        self.second = torch.from_numpy(source[clean:, 1].copy())
        self.share = float(share[0, 0]) if (share == share[0]).all() else torch.from_numpy(share.copy())

    def __call__(self, x: Tensor, out: Tensor) -> None:
        """Writes (R, values) to `out` from `x`, (N, values); `out` may be `x`."""
        if self.clean:
            out[: self.clean].copy_(x)
            out = out[self.clean :]
        first = x if self.first is None else x.index_select(0, self.first)
        if out.is_contiguous() and out.data_ptr() != x.data_ptr():
            second = torch.index_select(x, 0, self.second, out=out)
        else:
            second = x.index_select(0, self.second)
        if isinstance(self.share, float):
            torch.lerp(first, second, self.share, out=out)
        elif accumulation_dtype(x.dtype) == x.dtype:
            torch.lerp(first, second, self.share.to(x.dtype), out=out)
        else:  # lerp needs weights of the rows' dtype, too coarse in half precision
            out.copy_(first.float().lerp_(second.float(), self.share))

    def bytes_per_value(self, dtype: torch.dtype) -> int:
        """Returns the bytes needed to mix one value, beside input and output."""
        copies = 1 if self.first is None else 2
        exact = isinstance(self.share, float) or accumulation_dtype(dtype) == dtype
        return copies * dtype.itemsize + (0 if exact else 2 * torch.float32.itemsize)


def region(box: Sequence[int], axes: Sequence[int], ndim: int) -> tuple[slice, ...] | None:
    """Returns the slices that `box` cuts along `axes` of a tensor of `ndim` dimensions; None if it is empty."""
    slices = [slice(None)] * ndim
    for d, axis in enumerate(axes):
        if box[d] >= box[d + len(axes)]:
            return None
        slices[axis] = slice(box[d], box[d + len(axes)])
    return tuple(slices)


def is_small(row: Tensor) -> bool:
    """Returns whether rows like this are better mixed many at a time than one by one."""
    return row.nbytes < _LARGE_ROW


def reading_order(source: list[list[int]]) -> list[int]:
    """Orders rows 0 to R−1 so that each, where possible, reads first what the one before read last."""
    of_first = defaultdict(list)
    for r, sources in enumerate(source):
        of_first[sources[0]].append(r)
    order: list[int] = []
    for start in list(of_first):
        i = start
        while i in of_first:
            rows = of_first.pop(i)
            order += rows
            i = source[rows[-1]][-1]
    return order


def in_place_order(partner: list[int]) -> list[tuple[int, int]]:
    """Orders steps (r, partner[r]) so that each row is overwritten only once no other row needs it any more.

    Row r reads itself and ``partner[r]``. Rows that no other row reads come first; the rest are cycles, each
    opened by a step (_SAVED, r), "keep a copy of r", and closed by (r, _SAVED), "the partner is the copy".
    """
    readers = [0] * len(partner)
    for r, p in enumerate(partner):
        readers[p] += r != p
    steps: list[tuple[int, int]] = []
    done = [False] * len(partner)
    free = [r for r, count in enumerate(readers) if count == 0]
    while free:
        r = free.pop()
        p = partner[r]
        steps.append((r, p))
        done[r] = True
        if p != r:
            readers[p] -= 1
            if readers[p] == 0:
                free.append(p)
    for start in range(len(partner)):
        if done[start]:
            continue
        steps.append((_SAVED, start))
        r = start
        while not done[r]:
            done[r] = True
            steps.append((r, _SAVED if partner[r] == start else partner[r]))
            r = partner[r]
    return steps


def weighted_row(out: Tensor, sources: Sequence[Tensor], weight: Sequence[float]) -> None:
    """Computes ``out = sum_j weight[j] * sources[j]``, in float32 at least; `out` may be the first source."""
    if weight.count(1.0) == 1 and weight.count(0.0) == len(weight) - 1:
        only = sources[weight.index(1.0)]
        if only is not out:
            out.copy_(only)
    elif len(weight) == 2 and abs(weight[0] + weight[1] - 1.0) < 1e-6 and out.is_floating_point():
        torch.lerp(sources[0], sources[1], weight[1], out=out)
    else:
        dtype = accumulation_dtype(out.dtype)
        if 2 * out.numel() * dtype.itemsize > _BLOCK:
            axis = max(range(out.ndim), key=lambda d: out.shape[d])
            halves = zip(out.chunk(2, axis), *(row.chunk(2, axis) for row in sources), strict=True)
            for half, *of_sources in halves:
                weighted_row(half, of_sources, weight)
            return
        total = sources[0].to(dtype) * weight[0]
        for row, w in zip(sources[1:], weight[1:], strict=True):
            total.add_(row.to(dtype), alpha=w)
        out.copy_(total.round_() if out.dtype == torch.uint8 else total)


def _mix_small_rows(x: Tensor, host: HostRows, out: Tensor) -> bool:
    """Mixes pairs of small rows many at a time, in blocks of columns; returns False if it cannot.

    `out` may be `x`.
    """
    fits = x.is_floating_point() and len(x) and is_small(x[0]) and x.is_contiguous() == out.is_contiguous()
    if not fits:
        return False
    blend, flat, into = host.blend, _flat(x), _flat(out)
    if blend is None or flat is None or into is None:
        return False
    width = max(1, _BLOCK // (len(into) * blend.bytes_per_value(x.dtype)))
    if width >= flat.shape[1]:
        blend(flat, into)
    else:
        for columns, mixed in zip(flat.split(width, 1), into.split(width, 1), strict=True):
            blend(columns, mixed)
    return True


def _cut_small_rows(x: Tensor, host: HostRows, out: Tensor) -> bool:
    """Pastes one box into all small rows at once; returns False if it cannot. `out` may be `x`."""
    if host.box is None or not len(x) or not is_small(x[0]) or host.shared_box is None:
        return False
    box, partner = host.shared_box
    cut = region(box, host.box_axes, x.ndim)
    if cut is None or x[cut].numel() * x.element_size() > _BLOCK:
        return False
    if out is not x:
        out.copy_(x)
    out[cut] = x[cut].index_select(0, partner)
    return True


def _mix_columns(x: Tensor, plan: SparseRows) -> bool:
    """Mixes any rows in place, in blocks of columns; returns False if the plan cuts boxes or `x` has gaps."""
    flat = _flat(x)
    if flat is None or plan.box is not None:
        return False
    # running sum, rows to be added, and their sum
    bytes_per_value = 3 * accumulation_dtype(x.dtype).itemsize
    width = max(1, max(_BLOCK, x[0].nbytes) // (len(x) * bytes_per_value))
    for columns in flat.split(width, 1):
        columns.copy_(weighted_sum(columns, plan.source.cpu(), plan.weight.cpu()))
    return True


def _flat(x: Tensor) -> Tensor | None:
    """Views `x` as (N, values) in memory order, without a copy; None if it has gaps or too few dimensions."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return x.view(len(x), -1) if x.is_contiguous() and x.numel() and x.ndim > 0 else None
