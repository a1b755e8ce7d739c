"""Selective classification: the risk of a classifier that may abstain, against its coverage."""

import numpy as np

from hfmix.metrics.inputs import ArrayLike, scores_of


def risk_coverage_curve(confidence: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean loss of the i most confident examples, for every i (El-Yaniv & Wiener 2010).

    Examples of equal confidence share their mean loss, the expected risk when ties are ordered at random.

    Args:
        confidence: (N,), higher meaning more confident.
        losses: (N,), 0 or 1 for errors, or any other loss.

    Returns:
        Coverages ``i / N`` and the risks there, (N,) each, for i = 1 … N.

    Raises:
        ValueError: one of them is empty or holds NaN, or the shapes differ.
    """
    risk = risks_of_groups(*_groups(confidence, losses))
    return np.arange(1, len(risk) + 1) / len(risk), risk


def aurc(confidence: ArrayLike, losses: ArrayLike) -> float:
    """Averages `risk_coverage_curve` over the coverages ``1/N … 1`` (Geifman et al. 2019, arXiv 1805.08206).

    Arguments and errors are those of `risk_coverage_curve`.
    """
    return float(risks_of_groups(*_groups(confidence, losses)).mean())


def excess_aurc(confidence: ArrayLike, losses: ArrayLike) -> float:
    """Computes E-AURC: `aurc` minus that of the best order, smallest losses first (Geifman et al. 2019).

    Arguments and errors are those of `risk_coverage_curve`.
    """
    losses = scores_of(losses, "losses")
    return aurc(confidence, losses) - aurc(-losses, losses)


def risk_at_coverage(confidence: ArrayLike, losses: ArrayLike, coverage: float) -> float:
    """Computes the mean loss of the ``ceil(coverage * N)`` most confident examples.

    Raises:
        ValueError: as `risk_coverage_curve`, or `coverage` is outside (0, 1].
    """
    risk = risks_of_groups(*_groups(confidence, losses))
    return float(risk[covered(len(risk), coverage) - 1])


def covered(n: int, coverage: float) -> int:
    """Returns the smallest number of `n` examples that reaches a coverage in (0, 1].

    Raises:
        ValueError: `coverage` is outside (0, 1].
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is in (0, 1], not {coverage}")
    return max(1, int(np.ceil(coverage * n - 1e-9)))


def risks_of_groups(count: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Computes (N,) risks from counts and summed losses of groups of equal confidence, most confident first."""
    shared = np.repeat(loss / np.maximum(count, 1), count)
    return np.cumsum(shared) / np.arange(1, len(shared) + 1)


def tied(confidence: np.ndarray) -> np.ndarray:
    """Returns the (N,) groups of equal confidence, numbered from the highest confidence."""
    return np.unique(-confidence, return_inverse=True)[1]


def _groups(confidence: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    confidence, losses = scores_of(confidence, "confidences"), scores_of(losses, "losses")
    if confidence.shape != losses.shape:
        raise ValueError(f"confidence and losses are both (N,), not {confidence.shape} and {losses.shape}")
    group = tied(confidence)
    return np.bincount(group), np.bincount(group, losses)
