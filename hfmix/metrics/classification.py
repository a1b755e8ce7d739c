"""Whether the right class is found, and how likely it is thought."""

import numpy as np

from hfmix.metrics.detection import average_precision
from hfmix.metrics.inputs import (
    ArrayLike,
    as_array,
    finite_scores_and_labels,
    logits_and_labels,
    probabilities_and_labels,
    row_chunks,
)


def top_k_accuracy(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """The share of examples whose label is among the `k` highest scores.

    Of equal scores the class with the lower index comes first, as `argmax` has it; a model that gives every class
    the same score is so not counted as right.

    Args:
        scores: (N, C) logits, log-probabilities or probabilities.
        labels: (N,) integers.
        k: from 1 to C.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label or `k` is outside the classes, or a score is
            not finite.
    """
    scores, labels = finite_scores_and_labels(scores, labels, "scores")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is from 1 to the number of classes, {scores.shape[1]}, not {k}")
    return float(in_top_k(scores, labels, k).mean())


def in_top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The (N,) booleans of which `top_k_accuracy` is the mean."""
    hits = []
    for rows in row_chunks(scores):
        part, label = scores[rows], labels[rows, None]
        true = np.take_along_axis(part, label, 1)
        before = (part > true) | ((part == true) & (np.arange(part.shape[1]) < label))
        hits.append(before.sum(1) < k)
    return np.concatenate(hits)


def brier_score(probs: ArrayLike, labels: ArrayLike) -> float:
    """``mean_i sum_c (probs[i, c] - 1[c = labels[i]])^2`` (Brier 1950), in [0, 2].

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, or rows are not
            probabilities.
    """
    return float(brier_terms(*probabilities_and_labels(probs, labels)).mean())


def brier_terms(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The (N,) summands of `brier_score`."""
    squares = np.einsum("nc,nc->n", probs, probs, dtype=np.float64)
    return squares - 2 * probs[np.arange(len(labels)), labels] + 1


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean cross-entropy in nats, from (N, C) logits or log-probabilities, in float64.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, a logit is not finite,
            or the logits are probabilities.
    """
    import torch  # here, since most metrics need NumPy alone

    logits, labels = logits_and_labels(logits, labels)
    normalizer = [torch.from_numpy(logits[rows]).double().logsumexp(1) for rows in row_chunks(logits)]
    true = logits[np.arange(len(labels)), labels].astype(np.float64)
    return float((torch.cat(normalizer).numpy() - true).mean())


def mean_average_precision(scores: ArrayLike, targets: ArrayLike) -> float:
    """Multi-label mAP: the mean of `average_precision_by_class` over the classes that have a positive example.

    Classes without one are left out; ``np.isnan(average_precision_by_class(scores, targets)).sum()`` counts them.

    Raises:
        ValueError: as `average_precision_by_class`, or no class has a positive example.
    """
    by_class = average_precision_by_class(scores, targets)
    if np.isnan(by_class).all():
        raise ValueError(f"none of the {len(by_class)} classes has a positive example: there is no precision")
    return float(np.nanmean(by_class))


def average_precision_by_class(scores: ArrayLike, targets: ArrayLike) -> np.ndarray:
    """(C,) average precision ``sum_t (R[t] - R[t-1]) P[t]`` over falling thresholds; NaN without a positive.

    Equal scores share one threshold, as in scikit-learn's `average_precision_score`.

    Args:
        scores: (N, C), higher meaning more likely; logits or probabilities.
        targets: (N, C) of 0 and 1, or booleans.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a score is NaN, or a target is neither 0 nor 1.
    """
    scores, targets = as_array(scores), as_array(targets)
    if scores.ndim != 2 or scores.shape != targets.shape or not scores.size:
        raise ValueError(f"scores and targets are both (N, C) with N > 0, not {scores.shape} and {targets.shape}")
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets are 0 or 1 for every class: soft targets have no precision")
    if np.isnan(scores).any():
        raise ValueError(f"scores are partly NaN, first in row {int(np.isnan(scores).any(1).argmax())}")
    result = np.full(scores.shape[1], np.nan)
    for k, (column, target) in enumerate(zip(scores.T, targets.T.astype(bool), strict=True)):
        if target.any():
            result[k] = average_precision(column[target], column[~target])
    return result
