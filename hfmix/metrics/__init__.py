"""Metrics of classifiers as plain functions of arrays: torch tensors or NumPy arrays in, Python floats out."""

from hfmix.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_bins,
)
from hfmix.metrics.detection import auroc, fpr_at_95_tpr
from hfmix.metrics.intervals import bootstrap_interval, mean_interval, wilson_interval

__all__ = [
    "auroc",
    "bootstrap_interval",
    "brier_score",
    "expected_calibration_error",
    "fpr_at_95_tpr",
    "mean_interval",
    "negative_log_likelihood",
    "reliability_bins",
    "wilson_interval",
]
