"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599)."""

import math
import warnings

import numpy as np

from hfmix.metrics.inputs import ArrayLike, logits_and_labels, row_chunks

_TOLERANCE = 1e-9  # of log T
_MAX_STEPS = 100


def fit_temperature(logits: ArrayLike, labels: ArrayLike, bounds: tuple[float, float] = (0.05, 20.0)) -> float:
    """The T for which ``softmax(logits / T)`` has the least NLL: fit it on validation data, never on the test set.

    The NLL is convex in 1/T. The root of its slope is found in float64 by Newton's steps inside a bracket, with
    bisection of log T where a step would leave it; nothing is random, and T is exact to 1e-9 of itself.

    Where every label has the largest logit (a validation set without an error), the NLL falls without end as T
    goes to 0; where the logits tell nothing about the labels, as T grows. Then the bound is returned, with a
    warning: the set is too small or too easy to fit a temperature on.

    Args:
        logits: (N, C), or log-probabilities.
        labels: (N,) integers.
        bounds: of T.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, a logit is not finite,
            the logits are probabilities, or the bounds are not positive and rising.
    """
    logits, labels = logits_and_labels(logits, labels)
    if not 0 < bounds[0] < bounds[1] < math.inf:
        raise ValueError(f"bounds of the temperature are positive and rising, not {bounds}")
    low, high = 1 / bounds[1], 1 / bounds[0]  # of the inverse temperature, at which the slope rises
    if _slope(logits, labels, low)[0] >= 0:
        return _at_bound(bounds[1], "the logits tell nothing about the labels")
    if _slope(logits, labels, high)[0] <= 0:
        return _at_bound(bounds[0], "the labels have (nearly) always the largest logit")
    inverse = min(max(1.0, low), high)
    for _ in range(_MAX_STEPS):
        slope, curvature = _slope(logits, labels, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else math.inf
        previous, inverse = inverse, step if low <= step <= high else math.sqrt(low * high)
        if abs(math.log(inverse / previous)) < _TOLERANCE:
            break
    return 1 / inverse


def _slope(logits: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[float, float]:
    """First and second derivative of the mean NLL of ``softmax(inverse * logits)`` by `inverse`."""
    import torch  # here, since most metrics need NumPy alone

    slope = curvature = 0.0
    for rows in row_chunks(logits):
        z = torch.from_numpy(logits[rows]).double()
        z = z - z.gather(1, torch.from_numpy(labels[rows, None]).long())
        p = (inverse * z).softmax(1)
        mean = torch.linalg.vecdot(p, z)
        slope += float(mean.sum())
        curvature += float((torch.linalg.vecdot(p, z * z) - mean**2).sum())
    return slope / len(labels), curvature / len(labels)


def _at_bound(temperature: float, why: str) -> float:
    message = f"the best temperature lies outside the bounds, {temperature:g} is taken: {why}"
    warnings.warn(message, UserWarning, stacklevel=3)
    return temperature
