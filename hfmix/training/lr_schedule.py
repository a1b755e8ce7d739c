"""A learning rate that drops at given epochs, which transformers' schedulers do not offer."""

from bisect import bisect_right
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import SchedulerType

_FLAT = (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP)


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
