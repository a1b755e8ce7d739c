"""The selective axis: the errors that remain when the least confident predictions are declined."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.metrics.selective import covered, risks_of_groups, tied
from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request
from hfmix.robustness.estimates import estimate

COVERAGES = (80, 90, 95)  # per cent
_CURVE_POINTS = 100


@dataclass(frozen=True)
class Selective(Axis):
    """Risk over coverage, by the largest probability."""

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls()

    def measure(self, context: Context) -> Measured:
        return Measured(selective_axis(context.log_prob, context.test.labels, context.seed))

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self:
        return cls()


def selective_axis(log_prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Computes AURC, E-AURC and the risk at 80, 90 and 95 % coverage, with bootstrap intervals, and the curve.

    The risk is the error rate, the confidence the largest probability; all in [0, 1]. See
    `hfmix.metrics.risk_coverage_curve`.

    Args:
        log_prob: (N, C).
        labels: (N,) integers.
        seed: seed of the bootstrap.
    """
    n = len(labels)
    group = tied(log_prob.max(1))
    wrong = (log_prob.argmax(1) != labels).astype(float)
    risk = _risks(group, wrong, np.ones(n))
    draws = [
        _figures(_risks(group, wrong, drawn)) for (counts,) in bootstrap_counts(n, seed=seed) for drawn in counts
    ]
    shown = np.unique(np.linspace(0, n - 1, _CURVE_POINTS).round().astype(int))
    return {
        **{
            key: estimate(value, interval_of_draws(value, [draw[key] for draw in draws], (0, 1)), n)
            for key, value in _figures(risk).items()
        },
        "risk_coverage_curve": {"coverage": ((shown + 1) / n).tolist(), "risk": risk[shown].tolist()},
    }


def _risks(group: np.ndarray, wrong: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns the (N,) risks of the resample that holds each example `drawn` times."""
    return risks_of_groups(np.bincount(group, drawn).astype(int), np.bincount(group, drawn * wrong))


def _figures(risk: np.ndarray) -> dict[str, float]:
    n = len(risk)
    errors = round(risk[-1] * n)
    best = risks_of_groups(np.array([n - errors, errors]), np.array([0.0, errors]))
    at_coverage = {f"risk_at_coverage_{c}": risk[covered(n, c / 100) - 1] for c in COVERAGES}
    return {"aurc": risk.mean(), "e_aurc": max(0.0, risk.mean() - best.mean()), **at_coverage}
