"""How far a classifier's probabilities can be believed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

ArrayLike = Any  # torch tensors, NumPy arrays, lists


@dataclass(frozen=True)
class ReliabilityBins:
    """Equal-width bins of top-1 confidence, (lo, hi].

    Attributes:
        count: (B,) examples in the bin.
        accuracy: (B,) share of them that is right; 0 where the bin is empty.
        confidence: (B,) their mean confidence; 0 where the bin is empty.
    """

    count: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    def calibration_error(self) -> float:
        """``sum_b count[b] / N * |accuracy[b] - confidence[b]|``."""
        return float((self.count * np.abs(self.accuracy - self.confidence)).sum() / self.count.sum())


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, num_bins: int = 15) -> float:
    """ECE of top-1 confidence (Guo et al. 2017): equal-width bins, each (lo, hi].

    Args:
        probs: (N, C), rows summing to 1.
        labels: (N,) integers.
        num_bins: B; 15 in the literature.

    Raises:
        ValueError: the set is empty, the shapes do not fit, or rows are not probabilities.
    """
    probs, labels = _checked(probs, labels)
    return reliability_bins(probs.max(1), probs.argmax(1) == labels, num_bins).calibration_error()


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> ReliabilityBins:
    """The bins behind ECE and the reliability diagram, from (N,) confidences in (0, 1] and (N,) booleans."""
    index = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(index, minlength=num_bins)
    filled = np.maximum(count, 1)
    return ReliabilityBins(
        count=count,
        accuracy=np.bincount(index, weights=correct, minlength=num_bins) / filled,
        confidence=np.bincount(index, weights=confidence, minlength=num_bins) / filled,
    )


def brier_score(probs: ArrayLike, labels: ArrayLike) -> float:
    """``mean_i sum_c (probs[i, c] - 1[c = labels[i]])^2``, in [0, 2].

    Raises:
        ValueError: as `expected_calibration_error`.
    """
    probs, labels = _checked(probs, labels)
    return float(brier_terms(probs, labels).mean())


def brier_terms(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The (N,) summands of `brier_score`."""
    true = probs[np.arange(len(labels)), labels]
    return (probs**2).sum(1) - 2 * true + 1


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean cross-entropy in nats, from (N, C) logits, in float64.

    Raises:
        ValueError: the set is empty or the shapes do not fit.
    """
    logits, labels = _array(logits), _array(labels)
    _check_shapes(logits, labels, "logits")
    log_prob = torch.from_numpy(logits.astype(np.float64)).log_softmax(1).numpy()
    return float(-log_prob[np.arange(len(labels)), labels].mean())


def _checked(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probs, labels = _array(probs).astype(np.float64), _array(labels)
    _check_shapes(probs, labels, "probs")
    if not (probs.min() >= 0 and np.abs(probs.sum(1) - 1).max() < 1e-3):
        raise ValueError("probs are probabilities, each row at least 0 and summing to 1: these look like logits")
    return probs, labels


def _check_shapes(scores: np.ndarray, labels: np.ndarray, name: str) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(f"{name} are (N, C) and labels (N,) with N > 0, not {scores.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"labels reach from {labels.min()} to {labels.max()}, {name} have {scores.shape[1]} classes"
        )


def _array(values: ArrayLike) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
