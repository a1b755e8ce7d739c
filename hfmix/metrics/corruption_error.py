"""Errors under corruption relative to a baseline (Hendrycks & Dietterich 2019, arXiv 1903.12261)."""

from collections.abc import Mapping, Sequence

import numpy as np


def mean_corruption_error(errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float]) -> float:
    """Computes mCE as a ratio: the mean of ``sum_s error[s] / sum_s baseline[s]`` over corruptions.

    Papers print it ×100.

    Args:
        errors: corruption to its error rates, in [0, 1], by severity.
        baseline: corruption to the baseline's error rate, averaged over the severities. Only its corruptions
            count; others in `errors`, such as ImageNet-C's four for validation, do not. AlexNet's error rates are
            in `hfmix.robustness.axes.corruptions`; they fit ImageNet's 1,000 classes at 224 pixels only.

    Raises:
        ValueError: a corruption of the baseline is missing, an error rate is outside [0, 1], or the corruptions
            have different numbers of severities.
    """
    means = _mean_errors(errors, baseline)
    return float(np.mean([means[name] / baseline[name] for name in baseline]))


def relative_mean_corruption_error(
    errors: Mapping[str, Sequence[float]],
    clean_error: float,
    baseline: Mapping[str, float],
    baseline_clean_error: float,
) -> float:
    """Computes relative mCE as a ratio: `mean_corruption_error` after subtracting each model's clean error.

    Args:
        errors, baseline: as for `mean_corruption_error`.
        clean_error: the model's error rate without corruption.
        baseline_clean_error: the baseline's error rate without corruption.

    Raises:
        ValueError: as `mean_corruption_error`, or the baseline is no worse under a corruption than without.
    """
    for name, error in baseline.items():
        if error <= baseline_clean_error:
            raise ValueError(f"the baseline's error under {name}, {error}, is not above its clean error")
    clean, means = _mean_error("clean", [clean_error]), _mean_errors(errors, baseline)
    return float(np.mean([(means[name] - clean) / (baseline[name] - baseline_clean_error) for name in baseline]))


def _mean_errors(errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float]) -> dict[str, float]:
    if missing := [name for name in baseline if name not in errors]:
        raise ValueError(f"mCE needs all corruptions of its baseline: {missing[0]} is missing")
    severities = {name: len(errors[name]) for name in baseline}
    if len(set(severities.values())) != 1:
        raise ValueError(f"all corruptions have the same number of severities, not {severities}")
    return {name: _mean_error(name, errors[name]) for name in baseline}


def _mean_error(name: str, errors: Sequence[float]) -> float:
    rates = np.asarray(errors, dtype=np.float64)
    if not len(rates) or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"error rates are in [0, 1], those of {name} are {list(errors)}")
    return float(rates.mean())
