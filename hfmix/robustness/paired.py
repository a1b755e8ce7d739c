"""Paired differences of two models on the same examples, which show much less than two separate intervals do."""

from collections.abc import Sequence

import numpy as np

from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import Predictions
from hfmix.robustness.presentation import VIEWS
from hfmix.robustness.presentation.base import Statistic, Statistics

# identifies the examples of each sample: (N,), of pairs (N, 2)
Examples = list[np.ndarray]


def paired_differences(first: Predictions, other: Predictions, seed: int) -> dict[str, dict[str, object]]:
    """Returns the estimates of `other` minus those of `first`, by their paths in a report.

    These are accuracy, NLL, ECE, accuracy under corruption and under attack, the AUROC of the largest probability
    for each OOD set, and the means over the same pairs of examples. The intervals are the difference's, by
    `bootstrap_interval`, where a resample holds the same examples for both. An estimate that one of the two lacks,
    or that rests on other examples, is left out.

    Args:
        first, other: `RobustnessReport.predictions` on the same data.
        seed: seeds the bootstrap.

    Raises:
        ValueError: the labels are not the same.
    """
    return pooled_differences([(first, other)], seed)


def pooled_differences(
    trained: Sequence[tuple[Predictions, Predictions]], seed: int
) -> dict[str, dict[str, object]]:
    """Returns `paired_differences`, averaged over several pairs of models, such as one for each training seed.

    A resample holds the same examples for all models, so for a mean this is the interval of the examples' mean
    differences. It accounts for the finite test set, not for what another seed would change. Where the pairs of
    models were measured on examples of their own (attacked, corrupted ones), all of these are resampled together.

    Args:
        trained: first and other of each pair, all on the same test set.
        seed: seeds the bootstrap.

    Raises:
        ValueError: the labels are not the same, or there is no pair.
    """
    if not trained:
        raise ValueError("give one pair of predictions or more")
    label = trained[0][0]["label"]
    if not all(np.array_equal(label, predictions["label"]) for pair in trained for predictions in pair):
        raise ValueError("the predictions are of different test sets: their labels are not the same")
    by_pair = [_differences(first, other) for first, other in trained]
    return {
        path: _estimate([differences[path] for differences in by_pair], seed)
        for path in by_pair[0]
        if all(path in differences for differences in by_pair)
    }


def _differences(first: Predictions, other: Predictions) -> dict[str, tuple[Statistic, Examples]]:
    """Returns, by path, the statistic of a difference and the examples behind it."""
    others = {path: (statistic, sizes) for path, statistic, sizes in _statistics(other)}
    differences = {}
    for path, statistic, sizes in _statistics(first):
        if path not in others or others[path][1] != sizes:
            continue
        rows = VIEWS[path.split("/")[0]].rows
        if rows is not None and not np.array_equal(first[rows], other[rows]):
            continue
        examples = [np.arange(size) for size in sizes] if rows is None else [first[rows]]
        differences[path] = _minus(others[path][0], statistic), examples
    return differences


def _minus(statistic: Statistic, less: Statistic) -> Statistic:
    return lambda *counts: statistic(*counts) - less(*counts)


def _estimate(differences: Sequence[tuple[Statistic, Examples]], seed: int) -> dict[str, object]:
    """Returns the mean of several differences; each is taken of its own examples among those of all."""
    statistics = [statistic for statistic, _ in differences]
    samples = [_places(arrays) for arrays in zip(*(examples for _, examples in differences), strict=True)]
    sizes = [1 + max(places.max() for places in of_each) for of_each in samples]

    def mean(*counts: np.ndarray) -> np.ndarray:
        drawn = [
            [count[:, places] for count, places in zip(counts, of_pair, strict=True)]
            for of_pair in zip(*samples, strict=True)
        ]
        return np.mean([statistic(*parts) for statistic, parts in zip(statistics, drawn, strict=True)], 0)

    value = float(mean(*(np.ones((1, size)) for size in sizes))[0])
    draws = [mean(*counts) for counts in bootstrap_counts(*sizes, seed=seed)]
    return estimate(value, interval_of_draws(value, np.concatenate(draws)), sum(sizes))


def _places(examples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns, for each array, the places of its examples among those of all, in the order of first appearance."""
    _, first, inverse = np.unique(np.concatenate(examples), axis=0, return_index=True, return_inverse=True)
    places = np.argsort(np.argsort(first))[inverse.ravel()]
    return np.split(places, np.cumsum([len(array) for array in examples])[:-1])


def _statistics(predictions: Predictions) -> Statistics:
    """Yields the statistics of all axes."""
    for view in VIEWS.values():
        yield from view.statistics(predictions)
