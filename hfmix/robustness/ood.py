"""Does the model notice input that is not of its classes? Scores, higher meaning more in-distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hfmix.metrics import auroc, bootstrap_interval, fpr_at_95_tpr
from hfmix.robustness.report import figure


def max_probability(logits: np.ndarray) -> np.ndarray:
    """MSP (Hendrycks & Gimpel 2017, arXiv 1610.02136): the largest softmax probability, (N,) from (N, C)."""
    return np.exp(logits.max(1) - _log_sum_exp(logits))


def negative_energy(logits: np.ndarray) -> np.ndarray:
    """−E at temperature 1 (Liu et al. 2020, arXiv 2010.03759): log-sum-exp of the logits, (N,) from (N, C)."""
    return _log_sum_exp(logits)


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"msp": max_probability, "energy": negative_energy}
_HISTOGRAM_BINS = 30


def ood_axis(logits: np.ndarray, ood_logits: np.ndarray, seed: int) -> dict[str, Any]:
    """AUROC and FPR95 (OOD positive) of each score, with bootstrap intervals, and the MSP histograms.

    Args:
        logits: (N, C) of in-distribution input.
        ood_logits: (M, C) of the other.
        seed: of the bootstrap.
    """
    n = len(logits) + len(ood_logits)
    axis: dict[str, Any] = {"n_ood": len(ood_logits)}
    for name, score in SCORES.items():
        inside, outside = score(logits), score(ood_logits)
        axis[name] = {
            key: figure(
                metric(inside, outside),
                bootstrap_interval(metric, (inside,), (outside,), seed=seed, bounds=(0, 1)),
                n,
            )
            for key, metric in (("auroc", auroc), ("fpr95_ood_positive", fpr_at_95_tpr))
        }
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    axis["msp_histogram"] = {
        "edges": edges.tolist(),
        "id": np.histogram(max_probability(logits), edges)[0].tolist(),
        "ood": np.histogram(max_probability(ood_logits), edges)[0].tolist(),
    }
    return axis


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(1)
    return top + np.log(np.exp(logits - top[:, None]).sum(1))
