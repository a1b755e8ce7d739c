"""95 % confidence intervals of metrics on a finite test set."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

Z95 = 1.959963984540054
_BLOCK_ELEMENTS = 2**20  # 8 MiB of counts
_ROUNDING = 1e-12  # relative error of float64 sums


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """Computes Wilson's score interval of a proportion (Wilson 1927), which stays inside [0, 1] near the ends."""
    p, z2 = successes / total, Z95**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * np.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    return min(p, max(0.0, float(centre - half))), max(p, min(1.0, float(centre + half)))


def mean_interval(values: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """Computes the normal interval of the mean of (N,) independent values, cut to `bounds`, which N = 1 gives."""
    half = Z95 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    return _within(bounds, values.mean() - half, values.mean() + half)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Computes Student's interval of the mean of few (N,) independent normal values; infinite for N = 1."""
    if len(values) < 2:
        return -np.inf, np.inf
    from scipy.special import stdtrit

    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: tuple[np.ndarray, ...],
    seed: int,
    draws: int = 400,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """Computes the percentile bootstrap (Efron 1979) of ``statistic(*arrays)``, its median moved to the statistic.

    Resampling adds noise, which a statistic such as ECE, a sum of absolute differences, counts as error: unmoved,
    the interval of a well calibrated model would lie above the value itself.

    Args:
        statistic: function of all arrays of all samples, in order.
        samples: tuples of arrays of one length; those of a tuple are resampled together, different tuples
            independently.
        seed: seed of the resampling.
        draws: number of resamples.
        bounds: range of the statistic, to which the interval is cut.
    """
    values = []
    for indices in _resamples([len(sample[0]) for sample in samples], seed, draws):
        pairs = zip(samples, indices, strict=True)
        values.append(statistic(*(array[index] for sample, index in pairs for array in sample)))
    return interval_of_draws(statistic(*(array for sample in samples for array in sample)), values, bounds)


def interval_of_draws(
    value: float, draws: Sequence[float] | np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Computes `bootstrap_interval` from a statistic's value and its (D,) values on resamples."""
    low, median, high = np.quantile(draws, [0.025, 0.5, 0.975])
    ends = np.array([value + (low - median), value + (high - median)])
    # a rounding error of two equal sums must not exclude 0 from the interval
    ends[np.abs(ends) <= _ROUNDING * max(abs(value), abs(low), abs(median), abs(high))] = 0.0
    return _within(bounds, *ends)


def bootstrap_counts(*sizes: int, seed: int, draws: int = 400) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields the resamples of `bootstrap_interval` with the same seed, as counts of each example.

    From counts, a statistic of sorted or binned examples need not sort or bin again, which makes the intervals of
    ranking metrics fast.

    Args:
        sizes: sizes of the samples: N, M, …
        seed, draws: as for `bootstrap_interval`.

    Yields:
        (D, N), (D, M), … for blocks of D resamples; the blocks' D add up to `draws`.
    """
    block = max(1, _BLOCK_ELEMENTS // max(sizes))
    resamples = _resamples(sizes, seed, draws)
    for start in range(0, draws, block):
        counts = tuple(np.empty((min(block, draws - start), size)) for size in sizes)
        for row, indices in enumerate(islice(resamples, block)):
            for count, index, size in zip(counts, indices, sizes, strict=True):
                count[row] = np.bincount(index, minlength=size)
        yield counts


def _resamples(sizes: Sequence[int], seed: int, draws: int) -> Iterator[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield [rng.integers(size, size=size) for size in sizes]


def _within(bounds: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    return float(max(low, bounds[0])), float(min(high, bounds[1]))
