"""Metrics of classifiers as plain functions: torch tensors or NumPy arrays in, Python floats out.

`hfmix.metrics.wrappers` offers them as `evaluate.Metric`s.
"""

from hfmix.metrics.calibration import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_bins,
)
from hfmix.metrics.classification import (
    average_precision_by_class,
    brier_score,
    mean_average_precision,
    negative_log_likelihood,
    top_k_accuracy,
)
from hfmix.metrics.corruption_error import mean_corruption_error, relative_mean_corruption_error
from hfmix.metrics.detection import aupr, auroc, fpr_at_95_tpr, roc_curve
from hfmix.metrics.intervals import bootstrap_interval, mean_interval, wilson_interval
from hfmix.metrics.selective import aurc, excess_aurc, risk_at_coverage, risk_coverage_curve
from hfmix.metrics.temperature import fit_temperature

__all__ = [
    "adaptive_calibration_error",
    "aupr",
    "aurc",
    "auroc",
    "average_precision_by_class",
    "bootstrap_interval",
    "brier_score",
    "classwise_calibration_error",
    "excess_aurc",
    "expected_calibration_error",
    "fit_temperature",
    "fpr_at_95_tpr",
    "mean_average_precision",
    "mean_corruption_error",
    "mean_interval",
    "negative_log_likelihood",
    "relative_mean_corruption_error",
    "reliability_bins",
    "risk_at_coverage",
    "risk_coverage_curve",
    "roc_curve",
    "top_k_accuracy",
    "wilson_interval",
]
