"""How two models differ on the same examples, which tells much smaller differences than two intervals do."""

from collections.abc import Callable, Iterator

import numpy as np

from hfmix.metrics.calibration import calibration_errors
from hfmix.metrics.detection import Thresholds, auroc_of_counts
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.predictions import Predictions
from hfmix.robustness.report import figure

# the statistic of D resamples, from how often each example is drawn: (D, N), for AUROC (D, N) and (D, M)
Statistic = Callable[..., np.ndarray]

# by axis, what says which examples it is of
_ROWS = {"corruptions": "corrupted_row", "adversarial": "attacked_row", "interpolation": "pair_rows"}
_BETWEEN = {
    "between/miss": "miss_rate",
    "between/gradient_norm": "gradient_norm",
    "between/entropy": "entropy_between",
    "between/cross_entropy": "cross_entropy_between",
}


def paired_differences(first: Predictions, other: Predictions, seed: int) -> dict[str, dict[str, object]]:
    """Figures of `other` minus those of `first`, by the path that the figure has in a report.

    Accuracy, NLL, ECE, accuracy under corruption and under attack, the AUROC of the largest probability for each
    OOD set, and what lies in between the same pairs. The intervals are `bootstrap_interval`'s of the difference,
    where a resample holds the same examples for both. What is not there for both, or is of other examples, has no
    figure.

    Args:
        first, other: `RobustnessReport.predictions` on the same data.
        seed: of the bootstrap.

    Raises:
        ValueError: the labels are not the same.
    """
    if not np.array_equal(first["label"], other["label"]):
        raise ValueError("the predictions are of different test sets: their labels are not the same")
    theirs = {path: (statistic, sizes) for path, statistic, sizes in _statistics(other)}
    found = {}
    for path, ours, sizes in _statistics(first):
        if path not in theirs or theirs[path][1] != sizes:
            continue
        rows = _ROWS.get(path.split("/")[0])
        if rows is not None and not np.array_equal(first[rows], other[rows]):
            continue
        found[path] = _difference(ours, theirs[path][0], sizes, seed)
    return found


def _difference(first: Statistic, other: Statistic, sizes: tuple[int, ...], seed: int) -> dict[str, object]:
    whole = [np.ones((1, size)) for size in sizes]
    value = float((other(*whole) - first(*whole))[0])
    draws = [other(*counts) - first(*counts) for counts in bootstrap_counts(*sizes, seed=seed)]
    return figure(value, interval_of_draws(value, np.concatenate(draws)), sum(sizes))


def _statistics(found: Predictions) -> Iterator[tuple[str, Statistic, tuple[int, ...]]]:
    """Path in a report, statistic of resamples, and how many examples it is of."""
    correct, confidence = found["predicted"] == found["label"], found["confidence"]
    n = len(correct)
    yield "clean/accuracy", _mean(correct), (n,)
    yield "clean/nll", _mean(found["nll"]), (n,)
    yield "calibration/ece_15", lambda counts: calibration_errors(confidence, correct, counts), (n,)
    if "corrupted_accuracy" in found:
        by_example = found["corrupted_accuracy"]
        yield "corruptions/mean_accuracy", _mean(by_example), (len(by_example),)
    for name, values in found.items():
        if name.startswith("robust/"):
            path = f"adversarial/{name.removeprefix('robust/')}/robust_accuracy"
            yield path, _mean(values), (len(values),)
        elif name in _BETWEEN:
            yield f"interpolation/{_BETWEEN[name]}", _mean(values), (len(values),)
    for name, scores in found.items():
        if name.startswith("msp/"):
            path = f"ood/{name.removeprefix('msp/')}/msp/auroc"
            yield path, _auroc(Thresholds(confidence, scores)), (n, len(scores))


def _mean(values: np.ndarray) -> Statistic:
    return lambda counts: counts @ values.astype(np.float64) / counts.sum(1)


def _auroc(thresholds: Thresholds) -> Statistic:
    return lambda *counts: auroc_of_counts(*thresholds.counts_of(*counts))
