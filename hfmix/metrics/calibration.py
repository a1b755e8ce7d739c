"""How far a classifier's probabilities can be believed."""

from dataclasses import dataclass

import numpy as np

from hfmix.metrics.inputs import ArrayLike, probabilities_and_labels


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, num_bins: int = 15) -> float:
    """ECE of top-1 confidence (Guo et al. 2017, arXiv 1706.04599): equal-width bins, each (lo, hi].

    Libraries whose bins are [lo, hi) put a confidence of 1 into a bin of its own and give another figure.

    Args:
        probs: (N, C), rows summing to 1.
        labels: (N,) integers.
        num_bins: B; 15 in the literature. With few examples a bin, noise alone gives an ECE well above 0.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, rows are not
            probabilities, or there is no bin.
    """
    probs, labels = probabilities_and_labels(probs, labels)
    return reliability_bins(probs.max(1), probs.argmax(1) == labels, num_bins).calibration_error()


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


def reliability_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> ReliabilityBins:
    """The bins behind ECE and the reliability diagram, from (N,) confidences in [0, 1] and (N,) booleans.

    A confidence of 0, which no largest probability has, counts in the first bin; Guo et al.'s code drops it.
    """
    index = _bin_index(confidence, num_bins)
    count = np.bincount(index, minlength=num_bins)
    filled = np.maximum(count, 1)
    return ReliabilityBins(
        count=count,
        accuracy=np.bincount(index, weights=correct, minlength=num_bins) / filled,
        confidence=np.bincount(index, weights=confidence, minlength=num_bins) / filled,
    )


def calibration_errors(
    confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray, num_bins: int = 15
) -> np.ndarray:
    """(D,) ECEs of D resamples, from (D, N): how often each holds each example. Binned once for all of them."""
    gaps = np.zeros((len(confidence), num_bins))
    gaps[np.arange(len(confidence)), _bin_index(confidence, num_bins)] = correct - confidence
    return np.abs(counts @ gaps).sum(1) / counts.sum(1)


def adaptive_calibration_error(probs: ArrayLike, labels: ArrayLike, num_bins: int = 15) -> float:
    """AdaECE: ECE with bins of equal mass, in the convention of Mukhoti et al. 2020 (arXiv 2002.09437).

    The edges are the confidences at ranks ``0, N/B, …, N``, interpolated, and the bins (lo, hi], so that equal
    confidences share a bin and the order of the examples does not matter. One difference: the first bin also holds
    its lower edge, the smallest confidence, which their code (and RegMixup's) drops; that changes the figure by at
    most ``1 / N``. Splitting the sorted examples into B equal parts, as other libraries do, breaks ties by chance.

    Arguments and errors are those of `expected_calibration_error`. With N ≤ B each example is a bin of its own.
    """
    probs, labels = probabilities_and_labels(probs, labels)
    confidence = probs.max(1).astype(np.float64)
    order = np.argsort(confidence)
    return adaptive_error_of_sorted(confidence[order], (probs.argmax(1) == labels)[order], num_bins)


def adaptive_error_of_sorted(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> float:
    """`adaptive_calibration_error` from (N,) rising confidences and (N,) booleans."""
    _check_bins(num_bins)
    n = len(confidence)
    edges = np.interp(np.linspace(0, n, num_bins + 1), np.arange(n), confidence)
    ends = np.searchsorted(confidence, edges[1:], side="right")
    gap = np.cumsum(correct - confidence)[ends - 1]
    return float(np.abs(np.diff(gap, prepend=0.0)).sum() / n)


def classwise_calibration_error(probs: ArrayLike, labels: ArrayLike, num_bins: int = 15) -> float:
    """Classwise ECE (Kull et al. 2019, arXiv 1910.12656): the mean over classes of ``probs[:, k]``'s binary ECE.

    Equal-width bins, (lo, hi], with 0 in the first. A class that no label has counts too, with the probability
    that it is given. The figure falls with C, since most probabilities lie near 0 and are nearly right there.

    Arguments and errors are those of `expected_calibration_error`.
    """
    return ClasswiseBins.of(probs, labels, num_bins).calibration_error()


@dataclass(frozen=True)
class ClasswiseBins:
    """What the classwise ECE is a sum over, kept sparse: few probabilities of a row lie above the first bin.

    Attributes:
        probs: (N, C).
        labels: (N,).
        num_bins: B.
        row, cell, gap: (S,) for each probability above the first bin its row, ``class * B + bin``, and the
            probability minus 1[class = label].
    """

    probs: np.ndarray
    labels: np.ndarray
    num_bins: int
    row: np.ndarray
    cell: np.ndarray
    gap: np.ndarray

    @classmethod
    def of(cls, probs: ArrayLike, labels: ArrayLike, num_bins: int = 15) -> "ClasswiseBins":
        """The bins of (N, C) probabilities and (N,) labels."""
        probs, labels = probabilities_and_labels(probs, labels)
        _check_bins(num_bins)
        row, column = np.nonzero(probs > 1 / num_bins)
        above = probs[row, column].astype(np.float64)
        cell = column * num_bins + _bin_index(above, num_bins)
        return cls(probs, labels, num_bins, row, cell, above - (column == labels[row]))

    def calibration_error(self) -> float:
        """The classwise ECE."""
        return float(self.calibration_errors(np.ones((1, len(self.labels))))[0])

    def calibration_errors(self, counts: np.ndarray) -> np.ndarray:
        """(D,) classwise ECEs of D resamples, from (D, N): how often each holds each example."""
        classes = self.probs.shape[1]
        totals = counts.astype(self.probs.dtype) @ self.probs
        errors = np.empty(len(counts))
        for i, (count, total) in enumerate(zip(counts, totals, strict=True)):
            cells = np.bincount(self.cell, count[self.row] * self.gap, minlength=classes * self.num_bins)
            cells = cells.reshape(classes, self.num_bins)
            label_count = np.bincount(self.labels, count, minlength=classes)
            cells[:, 0] = total - label_count - cells[:, 1:].sum(1)
            errors[i] = np.abs(cells).sum() / (count.sum() * classes)
        return errors


def _bin_index(values: np.ndarray, num_bins: int) -> np.ndarray:
    _check_bins(num_bins)
    return np.searchsorted(np.arange(1, num_bins) / num_bins, values.astype(np.float64, copy=False))


def _check_bins(num_bins: int) -> None:
    if num_bins < 1:
        raise ValueError(f"num_bins is at least 1, not {num_bins}")
