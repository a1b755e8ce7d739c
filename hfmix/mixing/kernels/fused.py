"""Plans applied on a GPU by one Triton kernel that reads each input value once and writes each output value once.

A program computes a tile: some columns (adjacent values of a row, in memory order) of many rows at once. Rows are
each other's partners, so a value is read for the second time within the same tile, and comes from cache. A tile
that holds all rows can work in place without any order of steps, for any pairing: it reads, waits for its own
threads, and writes. Importing this file imports Triton; `hfmix.mixing.kernels` does so at the first batch on a
GPU.
"""

from contextlib import nullcontext
from math import ceil

import torch
import triton
import triton.language as tl
from torch import Tensor

from hfmix.mixing.kernels import functional
from hfmix.mixing.sparse import SparseRows

# the dtype in which values are added up
_SUM = {
    torch.float64: tl.float64,
    torch.float32: tl.float32,
    torch.bfloat16: tl.float32,
    torch.float16: tl.float32,
    torch.uint8: tl.float32,
}
# dtypes that a plan may only select from, never multiply; booleans are read as bytes
_SELECTED = {
    torch.int8: tl.int8,
    torch.int16: tl.int16,
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.bool: tl.uint8,
}
_INT32_RANGE = 2**31
_H200_PROCESSORS = 132
_LINE, _SECTOR = 128, 32  # bytes of a cache line, and of the smallest access to memory
_WARP_BYTES = 32 * 128  # running sums in a warp's registers: 32 registers of each thread
_MAX_WARPS, _MAX_WARPS_LIGHT = 16, 32  # light: small values, no boxes, few registers beside the sums
_TILE_BYTES = 32 * 1024


def mix_into(x: Tensor, plan: SparseRows, out: Tensor) -> bool:
    """Writes the mixed rows to `out`, (R, *shape), from `x`, (N, *shape); returns False if it cannot.

    It cannot for other dtypes, and for layouts where a row of `x` or `out` is not one stretch of memory,
    dimensions in the same order: contiguous and channels-last batches are, and every n-th row of one.
    """
    return _launch(x, plan, out, in_place=False)


def mix_in_place(x: Tensor, plan: SparseRows) -> bool:
    """Mixes `x` in place, without a second buffer; returns False if it cannot.

    It cannot where `mix_into` cannot, for `resize`, which reads other columns than it writes, and for some
    thousands of rows, more than a tile holds.
    """
    if len(x) != plan.num_rows or (plan.box is not None and plan.resize):
        return False
    return _launch(x, plan, x, in_place=True)


def try_out(device: torch.device) -> None:
    """Mixes a small batch on `device` and compares it with `functional.mix`.

    Raises:
        RuntimeError: they differ.
        Exception: any error of Triton's where it cannot run: no compiler, an old GPU.
    """
    n = 64
    x = torch.linspace(-1.0, 1.0, n * 96, device=device).reshape(n, 96)
    own, lam = torch.arange(n), torch.linspace(0.0, 1.0, n)
    plan = SparseRows(torch.stack([own, (own * 5 + 3) % n], 1), torch.stack([lam, 1.0 - lam], 1), n)
    expected, into, in_place = functional.mix(x, plan), torch.empty_like(x), x.clone()
    ran = mix_into(x, plan, into) and mix_in_place(in_place, plan)
    if not (ran and torch.allclose(into, expected, atol=1e-6) and torch.allclose(in_place, expected, atol=1e-6)):
        raise RuntimeError("its result is not that of plain torch")


def _launch(x: Tensor, plan: SparseRows, out: Tensor, in_place: bool) -> bool:
    if x.dtype not in _SUM and x.dtype not in _SELECTED:
        return False
    if out.dtype != x.dtype or out.device != x.device or (plan.box is not None and len(plan.box_axes) > 2):
        return False
    if out.numel() == 0:
        return True
    if not _same_layout(x, out):
        return False
    table = _table(plan, len(x), x.device)
    if table is None:
        return False
    axes = () if plan.box is None else tuple(axis % x.ndim for axis in plan.box_axes)
    ran = _run(x, out, table, plan.source.shape[1], axes, plan.resize, in_place)
    if ran and not out.is_inference():
        # tell autograd that a tensor it may have saved has changed
        torch.autograd.graph.increment_version(out)
    return ran


def _run(
    x: Tensor,
    out: Tensor,
    table: Tensor,
    num_sources: int,
    axes: tuple[int, ...] = (),
    resize: bool = False,
    in_place: bool = False,
) -> bool:
    num_rows, row_size = len(out), out[0].numel()
    tile = tile_shape(num_rows, row_size, x.element_size(), _processors(x.device), in_place, box=bool(axes))
    if tile is None:
        return False
    rows, columns, warps = tile
    geometry = [value for axis in axes for value in (x.shape[axis], max(1, x.stride(axis)))]
    last_column = ceil(row_size / columns) * columns
    # shrinking multiplies a position by a size
    largest = max(last_column, *(x.shape[axis] ** 2 for axis in axes)) if resize and axes else last_column
    selected = x.dtype in _SELECTED
    values, into = (x.view(torch.uint8), out.view(torch.uint8)) if x.dtype == torch.bool else (x, out)
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        mix_tile[(ceil(num_rows / rows) * ceil(row_size / columns),)](
            values,
            into,
            table,
            num_rows,
            x.stride(0),
            out.stride(0),
            row_size,
            *geometry,
            *[1] * (4 - len(geometry)),
            num_sources=num_sources,
            num_axes=len(axes),
            resize=resize,
            in_place=in_place,
            select=selected,
            sum_dtype=_SELECTED[x.dtype] if selected else _SUM[x.dtype],
            wide=largest >= _INT32_RANGE,
            tile_rows=rows,
            tile_columns=columns,
            num_warps=warps,
            enable_fp_fusion=True,
        )
    return True


def tile_shape(
    num_rows: int, row_size: int, itemsize: int, processors: int, in_place: bool = False, box: bool = False
) -> tuple[int, int, int] | None:
    """Returns a program's rows and columns (powers of two) and number of warps; None if there are too many rows.

    A tile has 32 KiB of each source in flight, and a processor holds two or more tiles: several times what hides
    the latency of 4.8 TB/s memory. It is as tall as the batch if possible, since rows meet their partners inside
    it, and at least a cache line wide. Small batches (128×3×32×32) get narrower tiles, so that no processor idles,
    down to the 32 bytes of the smallest access. In place a tile must be as tall as the batch: it gets larger, as
    far as registers allow, then narrower.
    """
    value = max(4, itemsize)
    max_warps = _MAX_WARPS_LIGHT if itemsize <= 2 and not box else _MAX_WARPS
    largest = max_warps * _WARP_BYTES // value
    tile = min(_TILE_BYTES // itemsize, largest)
    rows, columns = triton.next_power_of_2(num_rows), _LINE // itemsize
    if in_place:
        while rows * columns > largest and columns * itemsize > _SECTOR:
            columns //= 2
        if rows * columns > largest:
            return None
    else:
        rows = min(rows, tile // columns)
    columns = min(max(columns, tile // rows), triton.next_power_of_2(row_size))

    def programs() -> int:
        return ceil(num_rows / rows) * ceil(row_size / columns)

    # a few programs a processor leave some idle at the end; less than one leaves them idle throughout
    for wanted, least in ((8 * processors, _LINE), (processors, _SECTOR)):
        while programs() < wanted and columns * itemsize > least:
            columns //= 2
    while programs() < processors and not in_place and rows * columns > 1024:
        rows //= 2
    return rows, columns, max(rows * columns * value // _WARP_BYTES, 4)


def _table(plan: SparseRows, num_inputs: int, device: torch.device) -> Tensor | None:
    """Returns sources, bits of the weights, and boxes as one int32 vector on the device, in one copy.

    The copy is from pinned memory, so that the host does not wait. None: an index is out of range (or counts from
    the end), as far as the host can tell without waiting for a device.
    """
    on_host = plan.source.device.type == "cpu"
    if on_host and device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return None  # a CUDA graph would copy from this memory again once it holds something else
    if on_host:
        low, high = plan.source.aminmax()
        if low < 0 or high >= num_inputs:
            return None
    parts = [plan.source.to(torch.int32), plan.weight.float().view(torch.int32)]
    if plan.box is not None:
        parts.append(plan.box.to(torch.int32))
    table = torch.empty(
        sum(part.numel() for part in parts),
        dtype=torch.int32,
        device=plan.source.device,
        pin_memory=on_host and device.type == "cuda",
    )
    torch.cat([part.reshape(-1) for part in parts], out=table)
    return table.to(device, non_blocking=True)


def _same_layout(x: Tensor, out: Tensor) -> bool:
    """Returns whether a row of each is one stretch of memory, with the same place for each value."""
    if x.ndim == 0 or x.shape[1:] != out.shape[1:]:
        return False
    dense = 1
    for stride, other, size in sorted(zip(x.stride()[1:], out.stride()[1:], x.shape[1:], strict=True)):
        if size != 1:
            if stride != dense or other != dense:
                return False
            dense *= size
    return len(out) <= 1 or out.stride(0) >= dense


def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return _H200_PROCESSORS
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def mix_tile(
    x: tl.tensor,
    out: tl.tensor,
    table: tl.tensor,
    num_rows: tl.tensor,
    x_stride: tl.tensor,
    out_stride: tl.tensor,
    row_size: tl.tensor,
    size0: tl.tensor,
    stride0: tl.tensor,
    size1: tl.tensor,
    stride1: tl.tensor,
    num_sources: tl.constexpr,
    num_axes: tl.constexpr,
    resize: tl.constexpr,
    in_place: tl.constexpr,
    select: tl.constexpr,
    sum_dtype: tl.constexpr,
    wide: tl.constexpr,
    tile_rows: tl.constexpr,
    tile_columns: tl.constexpr,
) -> None:
    """Computes a tile of `out`, (tile_rows, tile_columns).

    Programs that share their columns follow one another, so that rows beyond `tile_rows` are still in cache.

    Args:
        x_stride, out_stride: distance of two rows, in values.
        row_size: values of a row.
        table: source (num_rows, num_sources), weight (num_rows, num_sources) as bits, box (num_rows, 2 num_axes).
        size0, stride0: size and stride of the box's first axis: a column's coordinate is ``column // stride %
            size``.
        size1, stride1: size and stride of its second axis.
        select: weights are 0 or 1; values are selected instead of multiplied.
        wide: columns need 64 bits.
    """
    chunks = tl.cdiv(num_rows, tile_rows)
    row = tl.program_id(0) % chunks * tile_rows + tl.arange(0, tile_rows)
    block = tl.program_id(0) // chunks
    if wide:
        block = block.to(tl.int64)
    column = block * tile_columns + tl.arange(0, tile_columns)
    live = row < num_rows
    written = live[:, None] & (column < row_size)[None, :]
    if num_axes > 0:
        box = table + 2 * num_sources * num_rows + row * (2 * num_axes)
        inside, boxed, shift = _cut(column, size0, stride0, box, num_axes, live, resize)
        if num_axes == 2:
            inside1, boxed1, shift1 = _cut(column, size1, stride1, box + 1, num_axes, live, resize)
            inside, boxed, shift = inside & inside1, boxed & boxed1, shift + shift1

    if in_place:
        # a row that stays as it is in these columns is not written; it is read only as others' partner
        stays = _is_itself(table, row, num_rows, live, num_sources)
        if num_axes > 0:
            own = tl.load(table + row * num_sources, mask=live, other=0) == row
            stays = tl.where(boxed, own & (tl.max(inside.to(tl.int32), axis=1) == 0), stays)
        written = written & ~stays[:, None]

    total = tl.zeros((tile_rows, tile_columns), sum_dtype)
    for j in tl.static_range(num_sources):
        source = tl.load(table + row * num_sources + j, mask=live, other=0)
        weight = tl.load(table + num_sources * (num_rows + row) + j, mask=live, other=0)
        share = weight.to(tl.float32, bitcast=True)[:, None]
        if num_axes > 0:
            # a row with a box is its first source outside, its second inside
            share = tl.where(boxed[:, None], (inside == (j == 1)).to(tl.float32) if j < 2 else 0.0, share)
        # a source without weight anywhere in the tile's columns is not read; decided for whole rows, since masks
        # that vary along a row would become loads of single values
        read = written & (tl.max((share != 0).to(tl.int32), axis=1) > 0)[:, None]
        where = column[None, :]
        if resize and num_axes > 0 and j == 1:
            where = where + tl.where(inside, shift, 0)
            read = read & (share != 0)
        value = tl.load(x + source.to(tl.int64)[:, None] * x_stride + where, mask=read, other=0)
        if select:
            total = tl.where(share != 0, value, total)
        else:
            # not total + 0 · value: that would be NaN where a value without weight is infinite
            total = tl.where(share != 0, total + share.to(sum_dtype) * value.to(sum_dtype), total)

    if x.dtype.element_ty == tl.uint8 and not select:
        # adding 1.5 · 2²³ leaves a float32 no bits for fractions: it rounds to the nearest integer, ties to even
        total = tl.minimum(tl.maximum((total + 12582912.0) - 12582912.0, 0.0), 255.0)
    if in_place:
        # every thread has read before any writes; no other program reads these columns
        tl.debug_barrier()
    tl.store(
        out + row.to(tl.int64)[:, None] * out_stride + column[None, :],
        total.to(out.dtype.element_ty),
        mask=written,
    )


@triton.jit
def _is_itself(
    table: tl.tensor, row: tl.tensor, num_rows: tl.tensor, live: tl.tensor, num_sources: tl.constexpr
) -> tl.tensor:
    """Returns (tile_rows,) whether a row's weighted sum is the row itself."""
    weights = table + num_sources * (num_rows + row)
    own = tl.load(weights, mask=live, other=0).to(tl.float32, bitcast=True)
    itself = (tl.load(table + row * num_sources, mask=live, other=0) == row) & (own == 1)
    for j in tl.static_range(1, num_sources):
        itself = itself & (tl.load(weights + j, mask=live, other=0) == 0)
    return itself


@triton.jit
def _cut(
    column: tl.tensor,
    size: tl.tensor,
    stride: tl.tensor,
    box: tl.tensor,
    num_axes: tl.constexpr,
    live: tl.tensor,
    resize: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Reads the box along one of its axes.

    Returns:
        inside: (tile_rows, tile_columns), whether a column is inside the box.
        boxed: (tile_rows,), whether the box is not empty.
        shift: (tile_rows, tile_columns), distance to the column that is shrunk onto this one
            (`functional.nearest`).
    """
    start = tl.load(box, mask=live, other=0)
    stop = tl.load(box + num_axes, mask=live, other=0)
    position = (column // stride % size)[None, :]
    inside = (position >= start[:, None]) & (position < stop[:, None])
    shift = 0
    if resize:
        length = tl.maximum(stop - start, 1)
        shrunk = (position - start[:, None]) * size // length[:, None]
        shift = (tl.minimum(tl.maximum(shrunk, 0), size - 1) - position) * stride
    return inside, stop > start, shift
