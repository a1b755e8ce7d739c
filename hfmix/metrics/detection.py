"""Detection of out-of-distribution (OOD) among in-distribution (ID) input by a score; higher means more ID.

All metrics follow from two counts at each distinct score, the threshold: how many ID and how many OOD scores reach
it. Counts of resamples, (D, T) instead of (T,), give the metrics of D resamples at once.
"""

from typing import Literal

import numpy as np

from hfmix.metrics.inputs import ArrayLike, scores_of

Side = Literal["in", "out"]


def auroc(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Computes the probability that an ID score exceeds an OOD score, ties counted half.

    It does not depend on which side is called positive.

    Raises:
        ValueError: one of the sets is empty or holds NaN.
    """
    return float(auroc_of_counts(*Thresholds(id_scores, ood_scores).counts()))


def aupr(id_scores: ArrayLike, ood_scores: ArrayLike, positive: Side = "in") -> float:
    """Computes the area under the precision-recall curve, as average precision: ``sum_t (R[t] - R[t-1]) P[t]``.

    It depends on the share of positives. OpenOOD's and RegMixup's code join the points by straight lines instead
    (trapezoid), which agrees to about 0.001 on thousands of distinct scores, but is too high where many are equal:
    a constant score gets ``(1 + share) / 2``, while its average precision is the share, which is chance.

    Args:
        id_scores: (N,) scores of ID input.
        ood_scores: (M,) scores of OOD input.
        positive: "in" finds ID input by high scores (AUPR-in), "out" OOD input by low ones (AUPR-out).

    Raises:
        ValueError: one of the sets is empty or holds NaN, or `positive` is something else.
    """
    return float(average_precision_of_counts(*_oriented(id_scores, ood_scores, positive)))


def fpr_at_95_tpr(id_scores: ArrayLike, ood_scores: ArrayLike, positive: Side = "out") -> float:
    """Computes the share of negatives that are taken for positive when at least 95 % of the positives are.

    Two conventions are in use, and their values differ much (0.78 against 0.57 for scores from Beta(8, 2) and
    Beta(3, 2)).

    Args:
        id_scores: (N,) scores of ID input.
        ood_scores: (M,) scores of OOD input.
        positive: "out" gives the share of ID input that is flagged when 95 % of the OOD input is: OpenOOD from
            version 1.5, Hendrycks et al.'s anomaly segmentation. "in" gives the share of OOD input that is
            accepted when 95 % of the ID input is: ODIN, the energy score's paper, OpenOOD 1.0.

    Raises:
        ValueError: one of the sets is empty or holds NaN, or `positive` is something else.
    """
    return float(fpr95_of_counts(*_oriented(id_scores, ood_scores, positive)))


def roc_curve(
    id_scores: ArrayLike, ood_scores: ArrayLike, max_points: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the ROC curve's x and y, (P,) each: the shares of OOD and of ID input accepted, rising from 0 to 1.

    Args:
        id_scores: (N,) scores of ID input.
        ood_scores: (M,) scores of OOD input.
        max_points: most points to keep, at least 2, evenly spaced along the curve; None keeps all.

    Raises:
        ValueError: one of the sets is empty or holds NaN.
    """
    id_count, ood_count = Thresholds(id_scores, ood_scores).counts()
    fpr, tpr = (np.concatenate([[0.0], count / count[-1]]) for count in (ood_count, id_count))
    if max_points is not None:
        kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, max_points)))
        fpr, tpr = fpr[kept], tpr[kept]
    return fpr, tpr


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Computes the average precision of (N,) positive scores among (M,) negative ones; M may be 0."""
    _, counts = _ranked(positive, negative)
    return float(average_precision_of_counts(*counts))


class Thresholds:
    """The distinct scores of two sets, falling.

    Args:
        id_scores: (N,) scores of ID input.
        ood_scores: (M,) scores of OOD input.

    Raises:
        ValueError: one of the sets is empty or holds NaN.
    """

    def __init__(self, id_scores: ArrayLike, ood_scores: ArrayLike) -> None:
        pair = scores_of(id_scores, "ID scores"), scores_of(ood_scores, "OOD scores")
        self._order, self._reach = _ranked(*pair)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (T,) counts of the ID and of the OOD scores that reach each threshold."""
        return self._reach

    def counts_of(self, id_drawn: np.ndarray, ood_drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the counts, (D, T) each, of D resamples, given each score's multiplicity: (D, N) and (D, M)."""
        counts = []
        for drawn, order, reach in zip((id_drawn, ood_drawn), self._order, self._reach, strict=True):
            reached = np.cumsum(drawn[:, order], axis=1)
            counts.append(np.concatenate([np.zeros_like(reached[:, :1]), reached], axis=1)[:, reach])
        return counts[0], counts[1]


def reversed_counts(id_count: np.ndarray, ood_count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts from below, OOD first: how many OOD and ID scores lie at or below each rising threshold."""
    flagged = []
    for count in (ood_count, id_count):
        above = np.concatenate([np.zeros_like(count[..., :1]), count[..., :-1]], axis=-1)
        flagged.append((count[..., -1:] - above)[..., ::-1])
    return flagged[0], flagged[1]


def auroc_of_counts(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Computes AUROC from counts at falling thresholds, (..., T) each."""
    pairs = (_steps(negative) * (positive - _steps(positive) / 2)).sum(-1)
    return pairs / (positive[..., -1].astype(float) * negative[..., -1])


def average_precision_of_counts(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Computes average precision from counts at falling thresholds, (..., T) each."""
    precision = positive / np.maximum(positive + negative, 1)
    return (_steps(positive) * precision).sum(-1) / positive[..., -1]


def fpr95_of_counts(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Computes the share of negatives at the first threshold that 95 % of positives reach, from counts."""
    first = (20 * positive >= 19 * positive[..., -1:]).argmax(-1)
    return np.take_along_axis(negative, first[..., None], -1)[..., 0] / negative[..., -1]


def _steps(count: np.ndarray) -> np.ndarray:
    return np.diff(count, axis=-1, prepend=0)


def _ranked(*sets: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns, by set, the order that sorts it falling and how many scores reach each distinct score of all."""
    thresholds = np.unique(np.concatenate(sets))[::-1]
    order = [np.argsort(-scores) for scores in sets]
    reach = [len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left") for scores in sets]
    return order, reach


def _oriented(id_scores: ArrayLike, ood_scores: ArrayLike, positive: str) -> tuple[np.ndarray, np.ndarray]:
    if positive not in ("in", "out"):
        raise ValueError(f'positive is "in" or "out", not {positive!r}')
    counts = Thresholds(id_scores, ood_scores).counts()
    return counts if positive == "in" else reversed_counts(*counts)
