"""The clean axis of examples that have any number of classes."""

from typing import Any

import numpy as np

from hfmix.metrics import bootstrap_interval
from hfmix.robustness.report import figure


def clean_axis_of_several(logits: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean average precision with its bootstrap interval, from (N, C) logits and (N, C) zeros and ones."""

    def resampled(logits: np.ndarray, labels: np.ndarray) -> float:
        return mean_average_precision(logits, labels) if labels.any() else 0.0

    interval = bootstrap_interval(resampled, (logits, labels), seed=seed, bounds=(0, 1))
    return {"mean_average_precision": figure(mean_average_precision(logits, labels), interval, len(labels))}


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes of Σ (R_k − R_{k−1}) P_k, precision and recall where the k best are taken.

    As scikit-learn's `average_precision_score` has it: equal scores are taken together, and nothing is
    interpolated. Classes without an example are left out; NaN where there is none with one.

    Args:
        scores: (N, C), higher for what is more likely.
        labels: (N, C) zeros and ones.
    """
    precisions = [
        _average_precision(scores[:, c], labels[:, c] > 0) for c in range(labels.shape[1]) if labels[:, c].any()
    ]
    return float(np.mean(precisions)) if precisions else float("nan")


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    order = np.argsort(-scores)
    falling, positive = -scores[order], positive[order]
    taken = np.searchsorted(falling, falling, side="right")  # how many score as high as each, or higher
    precision = np.cumsum(positive)[taken - 1] / taken
    return precision[positive].mean()
