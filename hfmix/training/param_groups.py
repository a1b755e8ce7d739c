"""Learning rate and weight decay of some parameters relative to the others', chosen by their names."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

_UNTIL = "until_epoch"


@dataclass(frozen=True)
class Factors:
    """The differences of one pattern's parameters to the others.

    Attributes:
        lr: factor of the learning rate.
        weight_decay: factor of the arguments' `weight_decay`; None keeps the Trainer's choice, which is the whole
            of it for weights and none for biases and norms.
        until_epoch: epoch at whose start the parameters stop changing; None for never.
    """

    lr: float = 1.0
    weight_decay: float | None = None
    until_epoch: float | None = None


def read_factors(given: Mapping[str, Any] | None) -> dict[str, Factors]:
    """Reads the option `param_factors`: regular expressions of names, each with entries of `Factors`.

    Raises:
        ValueError: a pattern is no regular expression, or an entry is unknown or out of range.
    """
    names = [field.name for field in fields(Factors)]
    factors = {}
    for pattern, entries in (given or {}).items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"param_factors: {pattern!r} is not a regular expression: {error}") from error
        if not isinstance(entries, Mapping) or not entries or entries.keys() - names:
            raise ValueError(f"param_factors: {pattern!r} takes a mapping of {', '.join(names)}, not {entries!r}")
        for name, value in entries.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value < 0 or (name == _UNTIL and value == 0):
                least = "above 0" if name == _UNTIL else "of 0 or more"
                raise ValueError(f"param_factors: {name} of {pattern!r} is a number {least}, not {value!r}")
        factors[pattern] = Factors(**entries)
    return factors


def matched(model: nn.Module, factors: Mapping[str, Factors]) -> dict[str, str]:
    """Returns the pattern of each trainable parameter that one matches, by the parameter's name.

    Raises:
        ValueError: a pattern matches no trainable parameter, or two match the same one.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    patterns: dict[str, str] = {}
    for pattern in factors:
        matches = [name for name in names if re.search(pattern, name)]
        if not matches:
            raise ValueError(
                f"param_factors: {pattern!r} matches none of the trained parameters: {', '.join(names[:3])}, …"
            )
        for name in matches:
            if name in patterns:
                raise ValueError(f"param_factors: both {patterns[name]!r} and {pattern!r} match {name}")
            patterns[name] = pattern
    return patterns


def split_groups(
    optimizer: Optimizer, model: nn.Module, factors: Mapping[str, Factors], weight_decay: float
) -> None:
    """Moves the parameters that the patterns match to groups of their own, with their rates and decays.

    Args:
        optimizer: new, without state.
        model: whose parameters it holds.
        factors: by pattern; see `matched`.
        weight_decay: the arguments', of which `Factors.weight_decay` is a factor.
    """
    patterns = matched(model, factors)
    pattern_of = {p: patterns[name] for name, p in model.named_parameters() if name in patterns}
    for group in list(optimizer.param_groups):
        moved: dict[str, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter in pattern_of:
                moved.setdefault(pattern_of[parameter], []).append(parameter)
        group["params"] = [parameter for parameter in group["params"] if parameter not in pattern_of]
        for pattern, parameters in moved.items():
            chosen = factors[pattern]
            changes = {"params": parameters, "lr": group["lr"] * chosen.lr}
            if chosen.weight_decay is not None:
                changes["weight_decay"] = weight_decay * chosen.weight_decay
            if chosen.until_epoch is not None:
                changes[_UNTIL] = chosen.until_epoch
            optimizer.add_param_group({**group, **changes})


def stop_groups(scheduler: LRScheduler, num_epochs: float, num_training_steps: int) -> None:
    """Lets the groups' rates be zero from their `until_epoch` on, at that share of all steps.

    Raises:
        ValueError: the scheduler is not a function of the step, such as one that follows the loss.
    """
    for i, group in enumerate(scheduler.optimizer.param_groups):
        if _UNTIL not in group:
            continue
        if not isinstance(scheduler, LambdaLR):
            kind = type(scheduler).__name__
            raise ValueError(f"param_factors: until_epoch needs a rate that depends on the step alone, not {kind}")
        scheduler.lr_lambdas[i] = _ending(
            scheduler.lr_lambdas[i], round(group[_UNTIL] / num_epochs * num_training_steps)
        )


def _ending(factor: Any, end: int) -> Any:
    return lambda step: factor(step) if step < end else 0.0
