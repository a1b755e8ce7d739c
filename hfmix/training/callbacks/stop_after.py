"""Stopping of training after a given time, at a checkpoint from which it goes on as if it had not stopped."""

import re
import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

from hfmix.utils.text import duration

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "": 1}


class OutOfTimeError(RuntimeError):
    """Error that ends training at a checkpoint, when its time is over."""


class StopAfter(TrainerCallback):
    """A callback that writes a checkpoint after the first step past a time, then raises an `OutOfTimeError`.

    Processes that train together stop at the same step. A run whose last step comes first is finished as usual.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._is_over = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Asks for a checkpoint once the time is over."""
        if state.global_step < state.max_steps and _any_process(time.monotonic() >= self._end, args.device):
            self._is_over = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops at the checkpoint that was asked for.

        Raises:
            OutOfTimeError: always, once the time is over.
        """
        if self._is_over:
            raise OutOfTimeError(
                f"stopped after {duration(self.seconds)}, as stop_after says, at step {state.global_step} of "
                f"{state.max_steps}: the same command with --resume_from_checkpoint true goes on"
            )


def read_duration(text: str | float) -> float:
    """Reads a duration such as "90s", "150m" or "2.5h" and returns it in seconds; a bare number is in seconds.

    Raises:
        ValueError: it is none, or not above zero.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)", str(text).strip().lower())
    if not match or match[2] not in _UNITS or not float(match[1]):
        raise ValueError(f"stop_after is a duration above 0 such as 90s, 150m or 2.5h, not {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def _any_process(is_over: bool, device: torch.device) -> bool:
    if not (distributed.is_available() and distributed.is_initialized()):
        return is_over
    votes = torch.tensor(float(is_over), device=device)
    distributed.all_reduce(votes)
    return bool(votes > 0)
