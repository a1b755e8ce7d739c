"""The clean axis: accuracy and likelihood on the test set as it is."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hfmix.metrics import (
    bootstrap_interval,
    mean_average_precision,
    wilson_interval,
)
from hfmix.metrics.classification import in_top_k
from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request
from hfmix.robustness.axes.ood_scores import max_probability
from hfmix.robustness.estimates import estimate, proportion
from hfmix.robustness.predictions import Predictions


@dataclass(frozen=True)
class Clean(Axis):
    """Accuracy and likelihood on the test set as it is; of examples with several classes, average precision."""

    multi_label = True

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls()

    def measure(self, context: Context) -> Measured:
        labels = context.test.labels
        if context.test.is_multi_label:
            return Measured(multi_label_axis(context.outputs(context.test).logits, labels, context.seed))
        return Measured(clean_axis(context.log_prob, labels, context.seed))

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self:
        return cls()


def clean_axis(log_prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Computes accuracy, top-5 accuracy if there are more than five classes, NLL in nats, and accuracy by class.

    Accuracies have Wilson's interval, the NLL a bootstrap interval. ``accuracy_by_class`` holds lists in the order
    of the classes: the accuracy, the ends of its interval, and the number of examples; null for a class without
    examples.

    Args:
        log_prob: (N, C).
        labels: (N,) integers.
        seed: seed of the bootstrap.
    """
    n, num_classes = log_prob.shape
    correct = log_prob.argmax(1) == labels
    nll = -log_prob[np.arange(n), labels]
    axis = {"accuracy": proportion(correct)}
    if num_classes > 5:
        axis["top5_accuracy"] = proportion(in_top_k(log_prob, labels, 5))
    axis["nll"] = estimate(nll.mean(), bootstrap_interval(np.mean, (nll,), seed=seed, bounds=(0, np.inf)), n)
    axis["accuracy_by_class"] = _accuracy_by_class(correct, labels, num_classes)
    return axis


def _accuracy_by_class(correct: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, list[Any]]:
    count = np.bincount(labels, minlength=num_classes).tolist()
    right = np.bincount(labels, weights=correct, minlength=num_classes).astype(int).tolist()
    intervals = [wilson_interval(r, c) if c else (None, None) for r, c in zip(right, count, strict=True)]
    return {
        "accuracy": [r / c if c else None for r, c in zip(right, count, strict=True)],
        "low": [low for low, _ in intervals],
        "high": [high for _, high in intervals],
        "count": count,
    }


def multi_label_axis(logits: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Computes the mean average precision with its bootstrap interval; logits and labels (0 or 1) are (N, C)."""

    def resampled(logits: np.ndarray, labels: np.ndarray) -> float:
        return mean_average_precision(logits, labels) if labels.any() else 0.0

    interval = bootstrap_interval(resampled, (logits, labels), seed=seed, bounds=(0, 1))
    return {"mean_average_precision": estimate(mean_average_precision(logits, labels), interval, len(labels))}


def clean_predictions(logits: np.ndarray, log_prob: np.ndarray, labels: np.ndarray) -> Predictions:
    """Returns ``label``, ``predicted``, ``confidence`` (the largest probability) and ``nll`` (nats), (N,) each.

    Args:
        logits, log_prob: (N, C).
        labels: (N,) integers.
    """
    return {
        "label": labels.astype(np.int64),
        "predicted": log_prob.argmax(1).astype(np.int64),
        "confidence": max_probability(logits),  # as in the OOD scores, so that ties stay ties
        "nll": -log_prob[np.arange(len(labels)), labels],
    }
