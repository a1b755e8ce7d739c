"""Settings follow progress, linearly between points and with jumps, in policies and in the weights of OneOf."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hfmix import ERM, Mixup, OneOf, RegMixup, Schedule
from hfmix.mixing import keyed_generator

points = st.lists(st.tuples(st.integers(0, 16), st.floats(0, 5)), min_size=1, max_size=5).map(
    lambda drawn: tuple((at / 16, value) for at, value in sorted(drawn, key=lambda point: point[0]))
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(points, st.floats(0, 1))
def test_linear_between_points_and_constant_beyond(points, progress):
    """Away from the points it is NumPy's interpolation; on a point the last value given there."""
    schedule, at = Schedule(points), [x for x, _ in points]
    if progress not in at:
        expected = np.interp(progress, at, [value for _, value in points])
        assert schedule.at(progress) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    for x in at:
        assert schedule.at(x) == pytest.approx([value for y, value in points if y == x][-1], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Schedule.warm_up(2.0, until=0.5), {0.0: 0.0, 0.25: 1.0, 0.5: 2.0, 1.0: 2.0}),
        (Schedule.warm_up(2.0, until=0.0), {0.0: 2.0, 1.0: 2.0}),
        (Schedule.switch_off(2.0, after=0.5), {0.0: 2.0, 0.499: 2.0, 0.5: 0.0, 1.0: 0.0}),
        (Schedule.switch_on(2.0, after=0.5), {0.0: 0.0, 0.499: 0.0, 0.5: 2.0, 1.0: 2.0}),
    ],
)
def test_named_schedules(schedule, values):
    assert {progress: schedule.at(progress) for progress in values} == pytest.approx(values)


@pytest.mark.parametrize(
    "points", [(), ((0, 1), (1,)), ((1.5, 1),), ((0, -1),), ((0, float("nan")),), ((0.5, 1), (0.4, 1)), "ab", 3]
)
def test_bad_points_are_refused(points):
    with pytest.raises(ValueError, match="schedule"):
        Schedule(points)


@pytest.mark.parametrize("progress", [None, -0.1, 1.1, float("nan")])
def test_a_schedule_needs_progress(progress):
    with pytest.raises(ValueError, match=r"needs the progress of training in \[0, 1\], not"):
        Mixup(alpha=Schedule.warm_up(1.0, 0.5)).sample(4, progress=progress)


def test_one_of_follows_its_weights():
    """RegMixup, which doubles the rows, for nine tenths of training; in between half and half."""
    policy = OneOf([RegMixup(), ERM()], [Schedule.switch_off(1.0, 0.9), Schedule.switch_on(1.0, 0.9)])
    for progress, rows in [(0.0, 8), (0.89, 8), (0.9, 4), (1.0, 4)]:
        assert {policy.sample(4, generator=keyed_generator(k), progress=progress).num_rows for k in range(20)} == {
            rows
        }
    fading = OneOf([RegMixup(), ERM()], [Schedule(((0, 3), (1, 0))), Schedule(((0, 0), (1, 3)))])
    counts = [fading.sample(4, generator=keyed_generator(k), progress=0.5).num_rows for k in range(1000)]
    assert abs(counts.count(8) - 500) < 4 * 250**0.5
    nothing = OneOf([ERM()], [Schedule.switch_off(1.0, 0.5)])
    with pytest.raises(ValueError, match=r"all weights are 0 at progress 0\.7"):
        nothing.sample(4, progress=0.7)


def test_alpha_follows_progress():
    """The variance of λ ~ Beta(α, α) is 1 / (4 (2α + 1)): .083 at 1, .0119 at 10."""
    policy = Mixup(alpha=Schedule(((0, 1), (1, 10))), granularity="example")
    for progress, alpha in [(0.0, 1), (0.5, 5.5), (1.0, 10)]:
        lam = policy.sample(4000, generator=keyed_generator(1), progress=progress).weight[:, 0]
        assert torch.var(lam).item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)
