"""Learning rates that transformers' schedulers do not offer: with drops at given epochs, or a triangle."""

from bisect import bisect_right
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import SchedulerType

_TRIANGLE = {"start": 0.0, "peak_at": 0.0, "end": 0.0}
_FLAT = (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP)


def check_schedule(args: Any) -> None:
    """Raises a ValueError if `lr_drop_epochs` or `lr_triangle` are invalid or do not fit the other arguments."""
    check_drops(args)
    if args.lr_triangle is None:
        return
    if args.lr_drop_epochs:
        raise ValueError("lr_triangle and lr_drop_epochs both shape the learning rate: give one of them")
    if args.lr_scheduler_type != SchedulerType.CONSTANT:
        raise ValueError(f"lr_triangle goes with lr_scheduler_type constant, not {args.lr_scheduler_type.value}")
    if args.lr_triangle.keys() - _TRIANGLE.keys() or "peak_at" not in args.lr_triangle:
        raise ValueError(f"lr_triangle takes peak_at and, if not 0, start and end, not {args.lr_triangle}")
    for name, value in args.lr_triangle.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1 or (name == "peak_at" and value == 1):
            raise ValueError(f"lr_triangle: {name} lies between 0 and 1, not {value!r}")


def check_drops(args: Any) -> None:
    """Raises a ValueError if the arguments' `lr_drop_epochs` are invalid or do not fit the scheduler."""
    epochs = args.lr_drop_epochs
    if not epochs:
        return
    if sorted({float(epoch) for epoch in epochs}) != [float(epoch) for epoch in epochs] or epochs[0] <= 0:
        raise ValueError(f"lr_drop_epochs are above 0 and strictly increasing, not {epochs}")
    if not 0 < args.lr_drop_factor < 1:
        raise ValueError(f"lr_drop_factor lies between 0 and 1, not {args.lr_drop_factor}")
    if args.lr_scheduler_type not in _FLAT:
        kinds = " or ".join(kind.value for kind in _FLAT)
        raise ValueError(f"lr_drop_epochs goes with lr_scheduler_type {kinds}, not {args.lr_scheduler_type.value}")


def own_scheduler(args: Any, optimizer: Optimizer, num_training_steps: int) -> LambdaLR | None:
    """Returns the scheduler of `lr_drop_epochs` or `lr_triangle`, or None where the arguments set neither."""
    for name, kind in (("lr_drop_epochs", dropping), ("lr_triangle", triangular)):
        if getattr(args, name, None):
            return kind(args, optimizer, num_training_steps)
    return None


def dropping(args: Any, optimizer: Optimizer, num_training_steps: int) -> LambdaLR:
    """Returns a scheduler that applies `lr_drop_factor` at each of `lr_drop_epochs`, after any warm-up.

    A drop at epoch e of E falls at the share e/E of all steps, where epoch e begins, and keeps that share if
    `max_steps` makes the run shorter or longer.
    """
    drops = [round(float(epoch) / args.num_train_epochs * num_training_steps) for epoch in args.lr_drop_epochs]
    flat = args.lr_scheduler_type == SchedulerType.CONSTANT
    warmup = 0 if flat else args.get_warmup_steps(num_training_steps)

    def factor(step: int) -> float:
        return min(1.0, step / warmup if warmup else 1.0) * args.lr_drop_factor ** bisect_right(drops, step)

    return LambdaLR(optimizer, factor)


def triangular(args: Any, optimizer: Optimizer, num_training_steps: int) -> LambdaLR:
    """Returns a scheduler that rises linearly to the learning rate and falls linearly, as `lr_triangle` says.

    It begins at the share `start` of the learning rate, reaches all of it after the share `peak_at` of the steps
    and would reach the share `end` one step after the last.
    """
    shape = {**_TRIANGLE, **args.lr_triangle}
    rise = int(num_training_steps * shape["peak_at"])

    def factor(step: int) -> float:
        if step < rise:
            return shape["start"] + (1 - shape["start"]) * step / rise
        return 1 + (shape["end"] - 1) * min(1.0, (step - rise) / max(1, num_training_steps - rise))

    return LambdaLR(optimizer, factor)
