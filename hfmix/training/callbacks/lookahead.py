"""Lookahead: the weights return to a slow average every few steps, which is what training leaves."""

from typing import Any

import torch
from torch import nn

from hfmix.training.callbacks.weight_average import WeightAverage


class Lookahead(WeightAverage):
    """A callback that pulls the weights to a slow average every k steps, harder towards the end of training.

    After step t of T, if k divides t: ``slow = w * slow + (1 - w) * weights`` with ``w = decay^k * (t / T)^3``,
    then ``weights = slow``, BatchNorm's running statistics too. The average starts from the initial weights.
    Zhang et al. 2019, arXiv 1907.08610, with the growing weight of arXiv 2404.00498.

    Args:
        steps: k.
        decay: the average's decay in one step at the end of training, in [0, 1).
    """

    file_name = "lookahead.safetensors"
    option = "lookahead_steps"

    def __init__(self, steps: int, decay: float) -> None:
        super().__init__(decay)
        self.steps = steps

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        """Waits for the step to be counted."""

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        """Updates the average and returns to it, after every `steps` steps, before a checkpoint is written."""
        step = state.global_step
        if step % self.steps:
            return
        weight = self.decay**self.steps * (step / state.max_steps) ** 3
        slow, fast = self._averaged.module.state_dict(), model.state_dict()
        for name, value in fast.items():
            if value.is_floating_point():
                value.copy_(slow[name].lerp_(value, 1 - weight))
            else:
                slow[name].copy_(value)
        self._averaged.n_averaged += 1


def average_of(args: Any) -> WeightAverage | None:
    """Returns the callback for the arguments' `ema_decay` or `lookahead_steps`, or None if neither is set."""
    if (decay := getattr(args, "ema_decay", None)) is not None:
        return WeightAverage(decay)
    steps = getattr(args, "lookahead_steps", None)
    return None if steps is None else Lookahead(steps, args.lookahead_decay)
