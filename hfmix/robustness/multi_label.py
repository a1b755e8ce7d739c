"""The clean axis of examples that have any number of classes."""

from typing import Any

import numpy as np

from hfmix.metrics import bootstrap_interval, mean_average_precision
from hfmix.robustness.report import figure


def clean_axis_of_several(logits: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean average precision with its bootstrap interval, from (N, C) logits and (N, C) zeros and ones."""

    def resampled(logits: np.ndarray, labels: np.ndarray) -> float:
        return mean_average_precision(logits, labels) if labels.any() else 0.0

    interval = bootstrap_interval(resampled, (logits, labels), seed=seed, bounds=(0, 1))
    return {"mean_average_precision": figure(mean_average_precision(logits, labels), interval, len(labels))}
