"""Sharding of an evaluation among processes: each one's batches, and gathering their rows."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import distributed


def own_batches(starts: Sequence[int]) -> Sequence[int]:
    """Returns the starts of this process's batches: consecutive ones; each batch belongs to one process."""
    rank, world = _place()
    each = math.ceil(len(starts) / world)
    return starts[rank * each : (rank + 1) * each]


def gather_rows(own: Mapping[str, np.ndarray], total: int, batch_size: int) -> dict[str, np.ndarray]:
    """Gathers the rows of all processes, in the data set's order, on every process.

    Args:
        own: the rows of this process's batches by name; empty if it has none.
        total: number of rows of the data set, N.
        batch_size: rows per batch.
    """
    rank, world = _place()
    if world == 1:
        return dict(own)
    each = math.ceil(math.ceil(total / batch_size) / world) * batch_size
    counts = [min(max(total - other * each, 0), each) for other in range(world)]
    on_gpu = distributed.get_backend() == "nccl"
    whole = {}
    for name in _names(own):
        rows = own.get(name)
        shape, dtype = _layout(rows)
        padded = torch.zeros((each, *shape), dtype=dtype)
        if rows is not None:
            padded[: counts[rank]] = torch.from_numpy(np.ascontiguousarray(rows))
        padded = padded.cuda() if on_gpu else padded
        parts = [torch.empty_like(padded) for _ in range(world)]
        distributed.all_gather(parts, padded)
        whole[name] = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).cpu().numpy()
    return whole


def num_processes() -> int:
    """Returns the number of processes that share an evaluation."""
    return _place()[1]


def _place() -> tuple[int, int]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _names(own: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the names that the first process has rows for; it has some if any process has."""
    names = [sorted(own)]
    distributed.broadcast_object_list(names)
    return names[0]


def _layout(rows: np.ndarray | None) -> tuple[tuple[int, ...], torch.dtype]:
    """Returns a row's shape and dtype, as on the first process."""
    layout = [None if rows is None else (rows.shape[1:], str(rows.dtype))]
    distributed.broadcast_object_list(layout)
    shape, dtype = layout[0]
    return shape, getattr(torch, dtype)
