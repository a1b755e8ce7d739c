"""Schedules: settings that follow training progress."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """A number that follows training progress: linear between its points, constant beyond them.

    Wherever a policy takes a strength (`alpha`) or a probability (`p`, `OneOf`'s weights), it takes a schedule
    too. Two points at the same progress make a jump; the second one holds from there on.

    Attributes:
        points: (progress, value) pairs, progress in [0, 1] and not decreasing, values finite and at least 0.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = self.points
        if not isinstance(points, Sequence) or not points or not all(_is_point(point) for point in points):
            raise ValueError(
                f"a schedule has (progress, value) points, progress in [0, 1] and value at least 0, not {points!r}"
            )
        if any(later[0] < earlier[0] for earlier, later in pairwise(points)):
            raise ValueError(f"a schedule's progress does not decrease from point to point: {points!r}")
        object.__setattr__(self, "points", tuple((float(at), float(value)) for at, value in points))

    @classmethod
    def warm_up(cls, value: float, until: float) -> "Schedule":
        """Returns a linear rise from 0 at the start to `value` at progress `until`, which holds from there on."""
        return cls(((0.0, 0.0), (until, value)))

    @classmethod
    def switch_off(cls, value: float, after: float) -> "Schedule":
        """Returns `value` up to progress `after`, then 0: for last epochs on clean examples."""
        return cls(((after, value), (after, 0.0)))

    @classmethod
    def switch_on(cls, value: float, after: float) -> "Schedule":
        """Returns 0 up to progress `after`, then `value`."""
        return cls(((after, 0.0), (after, value)))

    def at(self, progress: float) -> float:
        """Returns the value at `progress`."""
        if progress < self.points[0][0]:
            return self.points[0][1]
        for (start, low), (stop, high) in pairwise(self.points):
            if start <= progress < stop:
                return low + (high - low) * (progress - start) / (stop - start)
        return self.points[-1][1]

    def to_dict(self) -> dict[str, Any]:
        """Returns the schedule as plain values."""
        return {"points": [list(point) for point in self.points]}


Strength = float | Schedule


def strength(value: Strength | Mapping[str, Any]) -> Strength:
    """Returns `value` itself, or the `Schedule` if it is a schedule's dictionary."""
    if isinstance(value, Mapping) and set(value) == {"points"}:
        return Schedule(tuple(tuple(point) for point in value["points"]))
    return value


def at_progress(value: Strength, progress: float | None) -> float:
    """Returns a setting's value at `progress`.

    Raises:
        ValueError: `value` is a schedule and `progress` is None or outside [0, 1].
    """
    if not isinstance(value, Schedule):
        return value
    if progress is None or not 0.0 <= progress <= 1.0:
        raise ValueError(f"a policy with a schedule needs the progress of training in [0, 1], not {progress!r}")
    return value.at(progress)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, Sequence)
        and len(point) == 2
        and all(isinstance(v, int | float) and math.isfinite(v) and v >= 0 for v in point)
        and point[0] <= 1
    )
