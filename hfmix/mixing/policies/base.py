"""The base of all policies: a frozen record of settings whose `sample` draws a batch's plan."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from hfmix.mixing.plan import MixPlan
from hfmix.mixing.schedule import Schedule, strength


@dataclass(frozen=True)
class Batch:
    """The facts about a batch that a policy may use when it draws.

    Attributes:
        size: N, the number of examples.
        shape: one example's shape, for policies that cut boxes.
        labels: (N,) class indices or (N, C) soft labels, for policies that pair by class.
        inputs: (N, *shape), for policies that pair by distance.
        progress: training progress in [0, 1], for policies whose strength follows a schedule.
    """

    size: int
    shape: tuple[int, ...] | None = None
    labels: Tensor | Mapping[str, Tensor] | None = None
    inputs: Tensor | Mapping[str, Tensor] | None = None
    progress: float | None = None


@dataclass(frozen=True)
class Policy(ABC):
    """A mixing method with its settings: compared by value, and convertible to and from a dictionary."""

    name: ClassVar[str]

    def sample(
        self,
        batch_size: int,
        shape: tuple[int, ...] | None = None,
        generator: torch.Generator | None = None,
        labels: Tensor | Mapping[str, Tensor] | None = None,
        inputs: Tensor | Mapping[str, Tensor] | None = None,
        progress: float | None = None,
    ) -> MixPlan:
        """Draws the plan of one batch, on the CPU.

        Args:
            batch_size: N, at least 1.
            generator: source of all randomness; None is torch's global generator.
            shape, labels, inputs, progress: see `Batch`; a policy that needs none of them ignores them.

        Raises:
            ValueError: `batch_size` is below 1, or an argument that the policy needs is missing.
        """
        if batch_size < 1:
            raise ValueError(f"a batch has at least one example, not {batch_size}")
        shape = None if shape is None else tuple(shape)
        return self.draw(Batch(batch_size, shape, labels, inputs, progress), generator)

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Draws a batch's plan, all randomness from `generator`: the method that a new policy defines."""

    @property
    def needs_inputs(self) -> bool:
        """Tells whether `draw` reads the inputs, so that a collator has to stack them first."""
        return False

    def parts(self) -> Iterator["Policy"]:
        """Yields the policy itself and the policies that it is made of."""
        yield self
        for field in fields(self):
            value = getattr(self, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Policy):
                    yield from part.parts()

    def to_dict(self) -> dict[str, Any]:
        """Returns the policy as plain values, from which `hfmix.policy_from_dict` makes an equal one."""
        return {"name": self.name, **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}

    def __str__(self) -> str:
        """Returns name, strength and settings that are not defaults: ``mixup(alpha=0.2, p=0.5)``."""
        strength = {"alpha": self.alpha} if hasattr(self, "alpha") else {}
        required = {f.name: getattr(self, f.name) for f in fields(self) if f.default is MISSING}
        default = type(self)(**strength, **required)
        shown = [
            f"{f.name}={_written(getattr(self, f.name))}"
            for f in fields(self)
            if f.name in {**strength, **required} or getattr(self, f.name) != getattr(default, f.name)
        ]
        return f"{self.name}({', '.join(shown)})"

    def _set(self, setting: str, value: Any) -> None:
        """Sets a normalised setting of a frozen policy, in `__post_init__` only."""
        object.__setattr__(self, setting, value)

    def _check_number(self, setting: str, low: float = 0.0, high: float = math.inf) -> None:
        """Raises a ValueError unless the setting is a finite number above `low`, at most `high`."""
        value = getattr(self, setting)
        if not is_number(value) or not low < value <= high:
            expected = f"a finite number above {low:g}" if high == math.inf else f"a number in ({low:g}, {high:g}]"
            raise ValueError(f"{self.name}: {setting} is {expected}, not {value!r}")

    def _check_strength(self, setting: str) -> None:
        """Raises a ValueError unless the setting is a finite number above 0, or a schedule (0: unmixed)."""
        self._set(setting, strength(getattr(self, setting)))
        if not isinstance(getattr(self, setting), Schedule):
            self._check_number(setting)

    def _check_probability(self, setting: str) -> None:
        """Raises a ValueError unless the setting is a number in [0, 1], or a schedule of such numbers."""
        self._set(setting, strength(getattr(self, setting)))
        value = getattr(self, setting)
        for part in [at for _, at in value.points] if isinstance(value, Schedule) else [value]:
            if not is_number(part) or not 0 <= part <= 1:
                raise ValueError(f"{self.name}: {setting} is a number in [0, 1], not {part!r}")

    def _check_choice(self, setting: str, choices: Collection[str]) -> None:
        value = getattr(self, setting)
        if value not in choices:
            raise ValueError(f"{self.name}: {setting} is one of {', '.join(choices)}, not {value!r}")

    def _check_range(self, setting: str) -> None:
        """Raises a ValueError unless the setting is a pair (low, high) with 0 < low ≤ high ≤ 1."""
        value = getattr(self, setting)
        if (
            not isinstance(value, tuple | list)
            or len(value) != 2
            or not all(map(is_number, value))
            or not 0 < value[0] <= value[1] <= 1
        ):
            raise ValueError(f"{self.name}: {setting} is (low, high) with 0 < low <= high <= 1, not {value!r}")
        self._set(setting, (float(value[0]), float(value[1])))


@dataclass(frozen=True)
class ERM(Policy):
    """Empirical risk minimisation: nothing is mixed."""

    name: ClassVar[str] = "erm"

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Returns the identity; nothing is drawn."""
        one = torch.ones(batch.size, 1)
        return MixPlan(torch.arange(batch.size).unsqueeze(1), one, one, one.squeeze(1), batch.size)


def is_number(value: Any) -> bool:
    """Returns whether `value` is a finite int or float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Policy | Schedule):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return str(value) if isinstance(value, Policy) else repr(value)
