"""Does the model notice input that is not of its classes? Figures of the scores in `ood_scores`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hfmix.metrics.detection import (
    Thresholds,
    auroc_of_counts,
    average_precision_of_counts,
    fpr95_of_counts,
    reversed_counts,
    roc_curve,
)
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.axes.ood_scores import SCORES, Scores
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import Predictions

METRICS = {
    "auroc": auroc_of_counts,
    "aupr_in": average_precision_of_counts,
    "aupr_out": lambda inside, outside: average_precision_of_counts(*reversed_counts(inside, outside)),
    "fpr95_ood_positive": lambda inside, outside: fpr95_of_counts(*reversed_counts(inside, outside)),
    "fpr95_id_positive": fpr95_of_counts,
}
_HISTOGRAM_BINS = 30
_ROC_POINTS = 50


def ood_axis(inside: Scores, outside: Scores, seed: int) -> dict[str, Any]:
    """AUROC, AUPR and FPR95 of each score, both ways round, with bootstrap intervals, and what the plots need.

    Args:
        inside: `ood_scores` of in-distribution input, or `full_spectrum` of several sets.
        outside: `ood_scores` of the other.
        seed: of the bootstrap, which resamples both sets.

    Returns:
        ``n_ood``; for each score its figures, under names that say their convention, and its ROC curve (the share
        of OOD input, ``fpr``, and of ID input, ``tpr``, that is accepted); ``left_out``, why a score is missing;
        ``msp_histogram``.
    """
    axis: dict[str, Any] = {"n_ood": len(outside["msp"])}
    for name, figures in _mean_estimates(inside, [outside], seed).items():
        fpr, tpr = roc_curve(inside[name], outside[name], _ROC_POINTS)
        axis[name] = {**figures, "roc": {"fpr": fpr.round(5).tolist(), "tpr": tpr.round(5).tolist()}}
    axis["left_out"] = {
        name: score.why_missing for name, score in SCORES.items() if score.why_missing and name not in axis
    }
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    axis["msp_histogram"] = {
        "edges": edges.tolist(),
        "id": np.histogram(inside["msp"], edges)[0].tolist(),
        "ood": np.histogram(outside["msp"], edges)[0].tolist(),
    }
    return axis


def ood_groups(
    inside: Scores, outside: Mapping[str, Scores], groups: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Any]:
    """The figures of `ood_axis` averaged over the sets of a group, such as OpenOOD's near and far.

    Every set counts the same, whatever its size. The intervals are of the mean, with the ID input resampled once
    for all sets.

    Args:
        inside: as for `ood_axis`.
        outside: name to `ood_scores`.
        groups: group to names in `outside`, such as ``{"near": ["cifar100", "tin"], "far": ["svhn"]}``.
        seed: of the bootstrap.

    Raises:
        ValueError: a group is empty or names a set that is not there.
    """
    found = {}
    for group, names in groups.items():
        if unknown := [name for name in names if name not in outside]:
            raise ValueError(f"group {group!r} names {unknown[0]!r}: there are {', '.join(outside)}")
        if not names:
            raise ValueError(f"group {group!r} is empty")
        found[group] = {"sets": list(names), **_mean_estimates(inside, [outside[name] for name in names], seed)}
    return found


def _mean_estimates(inside: Scores, outsides: Sequence[Scores], seed: int) -> dict[str, dict[str, Any]]:
    """Score to metric to figure, the mean over the OOD sets; each set is ranked once, for all resamples."""
    names = [name for name in inside if all(name in outside for outside in outsides)]
    ranked = {name: [Thresholds(inside[name], outside[name]) for outside in outsides] for name in names}
    values = {name: _means([thresholds.counts() for thresholds in ranked[name]]) for name in names}
    draws: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in names}
    sizes = [len(scores["msp"]) for scores in (inside, *outsides)]
    for id_drawn, *ood_drawn in bootstrap_counts(*sizes, seed=seed):
        for name in names:
            pairs = zip(ranked[name], ood_drawn, strict=True)
            draws[name].append(_means([thresholds.counts_of(id_drawn, drawn) for thresholds, drawn in pairs]))
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        for key, value in values[name].items():
            drawn = np.concatenate([block[key] for block in draws[name]])
            found[name][key] = estimate(value, interval_of_draws(value, drawn, (0, 1)), sum(sizes))
    return found


def _means(counts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.mean([metric(*pair) for pair in counts], axis=0) for key, metric in METRICS.items()}


def ood_predictions(scores: Mapping[str, Mapping[str, np.ndarray]]) -> Predictions:
    """``msp/NAME`` for each OOD set, (M,), from its `ood_scores`."""
    return {f"msp/{name}": found["msp"] for name, found in scores.items()}
