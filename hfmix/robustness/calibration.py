"""The axes that clean logits give: accuracy and likelihood, and how far the probabilities can be believed."""

from typing import Any

import numpy as np

from hfmix.metrics import bootstrap_interval, mean_interval, reliability_bins, wilson_interval
from hfmix.metrics.calibration import brier_terms
from hfmix.robustness.report import figure

NUM_BINS = 15


def clean_axis(log_prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Accuracy (Wilson's interval) and NLL in nats (bootstrap), from (N, C) log-probabilities and (N,) labels."""
    correct = log_prob.argmax(1) == labels
    nll = -log_prob[np.arange(len(labels)), labels]
    return {
        "accuracy": figure(correct.mean(), wilson_interval(int(correct.sum()), len(labels)), len(labels)),
        "nll": figure(nll.mean(), bootstrap_interval(np.mean, (nll,), seed=seed, bounds=(0, np.inf)), len(labels)),
    }


def calibration_axis(log_prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """ECE with 15 equal-width bins (bootstrap interval), Brier score, mean confidence, and the bins themselves."""
    prob = np.exp(log_prob)
    confidence, correct = prob.max(1), prob.argmax(1) == labels
    bins = reliability_bins(confidence, correct, NUM_BINS)

    def ece(confidence: np.ndarray, correct: np.ndarray) -> float:
        return reliability_bins(confidence, correct, NUM_BINS).calibration_error()

    brier = brier_terms(prob, labels)
    interval = bootstrap_interval(ece, (confidence, correct), seed=seed, bounds=(0, 1))
    return {
        "ece_15": figure(bins.calibration_error(), interval, len(labels)),
        "brier": figure(
            brier.mean(), bootstrap_interval(np.mean, (brier,), seed=seed, bounds=(0, 2)), len(labels)
        ),
        "mean_confidence": figure(confidence.mean(), mean_interval(confidence, (0, 1)), len(labels)),
        "reliability_bins": {
            "count": bins.count.tolist(),
            "accuracy": bins.accuracy.tolist(),
            "confidence": bins.confidence.tolist(),
        },
    }
