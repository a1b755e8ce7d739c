"""Figures of a model under corruption: by corruption and severity, their means, and against AlexNet's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hfmix.metrics import bootstrap_interval, mean_interval, reliability_bins, wilson_interval
from hfmix.metrics.corruption_error import mean_corruption_error, relative_mean_corruption_error
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.alexnet import ALEXNET_CLEAN_ERROR, ALEXNET_ERRORS
from hfmix.robustness.calibration import NUM_BINS
from hfmix.robustness.corruptions import SEVERITIES
from hfmix.robustness.report import figure


def corruption_axis(
    correct: np.ndarray, confidence: np.ndarray, nll: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """Accuracy, ECE and NLL; intervals of means resample examples, each with all its corrupted versions.

    Args:
        correct, confidence, nll: (corruptions, severities, N), as `Corrupted` holds them.
        corruptions: their names, in order.
        seed: of the bootstrap.

    Returns:
        ``mean_accuracy``, ``mean_ece_15``, ``mean_nll`` over all cells; ``mean_accuracy_by_severity``;
        ``accuracy``, corruption to severity to figure.
    """
    n = correct.shape[2]

    def mean(part: np.ndarray) -> dict[str, Any]:
        by_example = part.reshape(-1, n).mean(0)
        return figure(by_example.mean(), mean_interval(by_example, (0, 1)), n)

    mean_nll = nll.reshape(-1, n).mean(0, dtype=np.float64)

    return {
        "mean_accuracy": mean(correct),
        "mean_ece_15": _mean_ece(correct, confidence, seed),
        "mean_nll": figure(mean_nll.mean(), bootstrap_interval(np.mean, (mean_nll,), seed=seed), n),
        "mean_accuracy_by_severity": {str(s): mean(correct[:, j]) for j, s in enumerate(SEVERITIES)},
        "accuracy": {
            name: {
                str(severity): figure(correct[i, j].mean(), wilson_interval(int(correct[i, j].sum()), n), n)
                for j, severity in enumerate(SEVERITIES)
            }
            for i, name in enumerate(corruptions)
        },
    }


def against_alexnet(
    correct: np.ndarray, clean_correct: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """``mce_alexnet`` and ``relative_mce_alexnet``, as ratios, for a model of ImageNet's 1,000 classes.

    Args:
        correct: (corruptions, severities, N), the fifteen published corruptions among them.
        clean_correct: (N,), the same examples without corruption.
        corruptions: their names, in order.
        seed: of the bootstrap.
    """
    n = correct.shape[2]

    def both(counts: np.ndarray) -> tuple[float, float]:
        errors = {name: 1 - correct[i] @ counts / counts.sum() for i, name in enumerate(corruptions)}
        clean = 1 - clean_correct @ counts / counts.sum()
        relative = relative_mean_corruption_error(errors, clean, ALEXNET_ERRORS, ALEXNET_CLEAN_ERROR)
        return mean_corruption_error(errors, ALEXNET_ERRORS), relative

    draws = np.array([both(drawn) for (counts,) in bootstrap_counts(n, seed=seed, draws=200) for drawn in counts])
    names = ("mce_alexnet", "relative_mce_alexnet")
    return {
        name: figure(value, interval_of_draws(value, draws[:, k]), n)
        for k, (name, value) in enumerate(zip(names, both(np.ones(n)), strict=True))
    }


def _mean_ece(correct: np.ndarray, confidence: np.ndarray, seed: int) -> dict[str, Any]:
    """The mean over the cells of their ECE; each cell is binned once, for all resamples."""
    n = correct.shape[2]
    cells = list(zip(correct.reshape(-1, n), confidence.reshape(-1, n).astype(np.float64), strict=True))
    value = float(np.mean([reliability_bins(sure, right, NUM_BINS).calibration_error() for right, sure in cells]))
    draws = []
    for (counts,) in bootstrap_counts(n, seed=seed):
        total = np.zeros(len(counts))
        for right, sure in cells:
            gaps = np.zeros((n, NUM_BINS))
            gaps[np.arange(n), np.ceil(sure * NUM_BINS).astype(int).clip(1, NUM_BINS) - 1] = right - sure
            total += np.abs(counts @ gaps).sum(1) / n
        draws.append(total / len(cells))
    return figure(value, interval_of_draws(value, np.concatenate(draws), (0, 1)), n)
