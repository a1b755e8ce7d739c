"""How two models differ on the same examples, which tells much smaller differences than two intervals do."""

from collections.abc import Sequence

import numpy as np

from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import Predictions
from hfmix.robustness.presentation import VIEWS
from hfmix.robustness.presentation.base import Statistic, Statistics

# what tells the examples of each sample apart: (N,), of pairs (N, 2)
Examples = list[np.ndarray]


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
    return pooled_differences([(first, other)], seed)


def pooled_differences(
    trained: Sequence[tuple[Predictions, Predictions]], seed: int
) -> dict[str, dict[str, object]]:
    """`paired_differences`, the mean over several pairs of models, such as one for each seed of the training.

    A resample holds the same examples for all models, so for a mean this is the interval of the examples' mean
    differences. That the test set is finite is in it, what another seed would change is not. Where the pairs of
    models were measured on examples of their own (attacked, corrupted ones), all of these are resampled together.

    Args:
        trained: first and other of each pair, all on the same test set.
        seed: of the bootstrap.

    Raises:
        ValueError: the labels are not the same, or there is no pair.
    """
    if not trained:
        raise ValueError("give one pair of predictions or more")
    label = trained[0][0]["label"]
    if not all(np.array_equal(label, found["label"]) for pair in trained for found in pair):
        raise ValueError("the predictions are of different test sets: their labels are not the same")
    of_pairs = [_differences(first, other) for first, other in trained]
    return {
        path: _figure([found[path] for found in of_pairs], seed)
        for path in of_pairs[0]
        if all(path in found for found in of_pairs)
    }


def _differences(first: Predictions, other: Predictions) -> dict[str, tuple[Statistic, Examples]]:
    """By path, the difference of resamples, and which examples it is of."""
    theirs = {path: (statistic, sizes) for path, statistic, sizes in _statistics(other)}
    found = {}
    for path, ours, sizes in _statistics(first):
        if path not in theirs or theirs[path][1] != sizes:
            continue
        rows = VIEWS[path.split("/")[0]].rows
        if rows is not None and not np.array_equal(first[rows], other[rows]):
            continue
        examples = [np.arange(size) for size in sizes] if rows is None else [first[rows]]
        found[path] = _minus(theirs[path][0], ours), examples
    return found


def _minus(statistic: Statistic, less: Statistic) -> Statistic:
    return lambda *counts: statistic(*counts) - less(*counts)


def _figure(differences: Sequence[tuple[Statistic, Examples]], seed: int) -> dict[str, object]:
    """Their mean, each at its own among the examples of all."""
    statistics = [statistic for statistic, _ in differences]
    samples = [_places(arrays) for arrays in zip(*(examples for _, examples in differences), strict=True)]
    sizes = [1 + max(places.max() for places in of_each) for of_each in samples]

    def mean(*counts: np.ndarray) -> np.ndarray:
        drawn = [
            [count[:, places] for count, places in zip(counts, of_pair, strict=True)]
            for of_pair in zip(*samples, strict=True)
        ]
        return np.mean([statistic(*its) for statistic, its in zip(statistics, drawn, strict=True)], 0)

    value = float(mean(*(np.ones((1, size)) for size in sizes))[0])
    draws = [mean(*counts) for counts in bootstrap_counts(*sizes, seed=seed)]
    return estimate(value, interval_of_draws(value, np.concatenate(draws)), sum(sizes))


def _places(examples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each array, where its examples are among those of all, in the order of their first appearance."""
    _, first, inverse = np.unique(np.concatenate(examples), axis=0, return_index=True, return_inverse=True)
    places = np.argsort(np.argsort(first))[inverse.ravel()]
    return np.split(places, np.cumsum([len(array) for array in examples])[:-1])


def _statistics(predictions: Predictions) -> Statistics:
    """Yields the statistics of all axes."""
    for view in VIEWS.values():
        yield from view.statistics(predictions)
