"""95 % confidence intervals of what is measured on a finite test set."""

from collections.abc import Callable

import numpy as np

Z95 = 1.959963984540054


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); it stays inside [0, 1] near the ends."""
    p, z2 = successes / total, Z95**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * np.sqrt(p * (1 - p) / total + z2 / (4 * total**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def mean_interval(values: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """The normal interval of the mean of (N,) independent values, cut to `bounds` (which a single value gives)."""
    half = Z95 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    return _within(bounds, values.mean() - half, values.mean() + half)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: tuple[np.ndarray, ...],
    seed: int,
    draws: int = 400,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """The percentile bootstrap (Efron 1979) of ``statistic(*arrays)``, with its median moved to the statistic.

    Resampling adds noise, which a statistic such as ECE, a sum of absolute differences, counts as error: unmoved,
    the interval of a well calibrated model lies above the value that it is for.

    Args:
        statistic: takes all arrays of all samples, in order.
        samples: each a tuple of arrays with one length, resampled together; different tuples independently.
        seed: of the resampling.
        draws: number of resamples.
        bounds: what the statistic can be; the interval is cut to it.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        arrays = []
        for sample in samples:
            index = rng.integers(len(sample[0]), size=len(sample[0]))
            arrays += [array[index] for array in sample]
        values.append(statistic(*arrays))
    low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
    value = statistic(*(array for sample in samples for array in sample))
    return _within(bounds, value + low - median, value + high - median)


def _within(bounds: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    return float(max(low, bounds[0])), float(min(high, bounds[1]))
