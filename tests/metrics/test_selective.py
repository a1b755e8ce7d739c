"""Risk and coverage against loops, and against every order of ties."""

from itertools import permutations

import numpy as np
import pytest
import torch

from hfmix import metrics


def risks_in_order(losses):
    return np.cumsum(losses) / np.arange(1, len(losses) + 1)


def test_the_curve_equals_a_loop():
    rng = np.random.default_rng(0)
    confidence, losses = rng.random(200), rng.exponential(size=200)
    expected = [losses[np.argsort(-confidence)[:i]].mean() for i in range(1, 201)]
    coverage, risk = metrics.risk_coverage_curve(confidence, torch.from_numpy(losses))
    assert risk == pytest.approx(expected, abs=1e-12) and coverage == pytest.approx(np.arange(1, 201) / 200)
    assert metrics.aurc(confidence, losses) == pytest.approx(np.mean(expected), abs=1e-12)


def test_ties_get_the_mean_over_all_orders():
    confidence, losses = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1]), np.array([0, 1, 0, 0, 1, 1])
    orders = [risks_in_order(losses[[0, *middle, 5]]) for middle in permutations([1, 2, 3, 4])]
    _, risk = metrics.risk_coverage_curve(confidence, losses)
    assert risk == pytest.approx(np.mean(orders, axis=0), abs=1e-12)
    assert metrics.risk_coverage_curve(np.ones(6), losses)[1] == pytest.approx([0.5] * 6)


def test_excess_is_what_the_best_order_lacks():
    losses = np.array([0, 1, 0, 0, 1])
    assert metrics.excess_aurc(-losses, losses) == 0
    best, worst = (risks_in_order(np.array(order)).mean() for order in ([0, 0, 0, 1, 1], [1, 1, 0, 0, 0]))
    assert metrics.excess_aurc(losses, losses) == pytest.approx(worst - best, abs=1e-12)


@pytest.mark.parametrize(("coverage", "kept"), [(0.8, 80), (0.801, 81), (1, 100), (0.55, 55), (0.001, 1)])
def test_risk_at_coverage_keeps_as_many_as_it_must(coverage, kept):
    """0.55 * 100 rounds to more than 55, which must not become 56."""
    losses = np.arange(100.0)
    assert metrics.risk_at_coverage(-losses, losses, coverage) == losses[:kept].mean()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="the losses are partly NaN"):
        metrics.aurc([0.5, 0.6], [0, np.nan])
    with pytest.raises(ValueError, match=r"not \(2,\) and \(3,\)"):
        metrics.aurc([0.5, 0.6], [0, 1, 1])
    with pytest.raises(ValueError, match=r"coverage is in \(0, 1\], not 80"):
        metrics.risk_at_coverage([0.5], [1], 80)
