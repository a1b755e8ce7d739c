"""Metrics as `evaluate.Metric`s, created directly and without a network: ``ExpectedCalibrationError()``.

A classifier's metrics take its logits (or log-probabilities), which a Trainer's `compute_metrics` receives, so
that ``evaluate.combine([ExpectedCalibrationError(), BrierScore()])`` gets them once. Other arguments of the
function, such as ``num_bins``, go to `compute`. For large sets the plain functions are faster: evaluate keeps its
inputs as Arrow lists.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import evaluate
import numpy as np
import torch
from datasets import Features, Sequence, Value

from hfmix.metrics.calibration import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
)
from hfmix.metrics.classification import (
    brier_score,
    mean_average_precision,
    negative_log_likelihood,
    top_k_accuracy,
)
from hfmix.metrics.detection import aupr, auroc, fpr_at_95_tpr
from hfmix.metrics.inputs import logits_and_labels


class ArrayMetric(evaluate.Metric):
    """A plain function of predictions and references, called once with all of them as NumPy arrays.

    The result is ``{name of the function: value}``. Added examples are kept in memory, unless there are several
    processes. The constructor's other arguments are those of `evaluate.Metric`.
    """

    function: ClassVar[Callable[..., float]]
    predictions: ClassVar[Any] = Sequence(Value("float64"))
    references: ClassVar[Any] = Value("int64")

    def __init__(self, config_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(config_name, **{"keep_in_memory": kwargs.get("num_process", 1) == 1, **kwargs})

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__ or "",
            citation="",
            inputs_description=type(self).function.__doc__ or "",
            features=Features({"predictions": self.predictions, "references": self.references}),
        )

    def _compute(self, predictions: list, references: list, **kwargs: Any) -> dict[str, float]:
        function = type(self).function
        return {function.__name__: function(*self._arguments(predictions, references), **kwargs)}

    def _arguments(self, predictions: list, references: list) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(predictions), np.asarray(references)


class ProbabilityMetric(ArrayMetric):
    """A function of probabilities, given logits."""

    def _arguments(self, predictions: list, references: list) -> tuple[np.ndarray, np.ndarray]:
        logits, labels = logits_and_labels(*super()._arguments(predictions, references))
        return torch.from_numpy(logits).softmax(1).numpy(), labels


class DetectionMetric(ArrayMetric):
    """A function of ID and OOD scores: predictions are scores, references 1 for ID and 0 for OOD."""

    predictions = Value("float64")

    def _arguments(self, predictions: list, references: list) -> tuple[np.ndarray, np.ndarray]:
        scores, is_id = super()._arguments(predictions, references)
        if not np.isin(is_id, (0, 1)).all():
            raise ValueError(f"references are 1 for ID and 0 for OOD, not {np.unique(is_id).tolist()}")
        return scores[is_id == 1], scores[is_id == 0]


class ExpectedCalibrationError(ProbabilityMetric):
    """`hfmix.metrics.expected_calibration_error` of logits."""

    function = staticmethod(expected_calibration_error)


class AdaptiveCalibrationError(ProbabilityMetric):
    """`hfmix.metrics.adaptive_calibration_error` of logits."""

    function = staticmethod(adaptive_calibration_error)


class ClasswiseCalibrationError(ProbabilityMetric):
    """`hfmix.metrics.classwise_calibration_error` of logits."""

    function = staticmethod(classwise_calibration_error)


class BrierScore(ProbabilityMetric):
    """`hfmix.metrics.brier_score` of logits."""

    function = staticmethod(brier_score)


class NegativeLogLikelihood(ArrayMetric):
    """`hfmix.metrics.negative_log_likelihood`."""

    function = staticmethod(negative_log_likelihood)


class TopKAccuracy(ArrayMetric):
    """`hfmix.metrics.top_k_accuracy`; ``compute(k=5)`` for another k than 1."""

    function = staticmethod(top_k_accuracy)


class MeanAveragePrecision(ArrayMetric):
    """`hfmix.metrics.mean_average_precision`; references are (C,) of 0 and 1."""

    function = staticmethod(mean_average_precision)
    references = Sequence(Value("int64"))


class Auroc(DetectionMetric):
    """`hfmix.metrics.auroc` of one column of scores."""

    function = staticmethod(auroc)


class Aupr(DetectionMetric):
    """`hfmix.metrics.aupr` of one column of scores."""

    function = staticmethod(aupr)


class FprAt95Tpr(DetectionMetric):
    """`hfmix.metrics.fpr_at_95_tpr` of one column of scores."""

    function = staticmethod(fpr_at_95_tpr)
