"""The calibration axis: whether predicted probabilities match the share of right predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from hfmix.data.labelled import LabelledData
from hfmix.metrics import bootstrap_interval, fit_temperature, mean_interval, reliability_bins
from hfmix.metrics.calibration import ClasswiseBins, adaptive_error_of_sorted
from hfmix.metrics.classification import brier_terms
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.axes.base import (
    Axis,
    ClaimedReport,
    Context,
    Measured,
    ReportContent,
    Request,
    same_helper,
    same_test,
)
from hfmix.robustness.axes.clean import clean_axis
from hfmix.robustness.estimates import estimate

NUM_BINS = 15


@dataclass(frozen=True)
class Calibration(Axis):
    """Calibration errors of the probabilities on the test set.

    Attributes:
        validation: labelled data to fit a temperature on; None leaves the temperature out.
    """

    validation: LabelledData | None = None

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls(request.validation)

    def passes(self, context: Context) -> int:
        return 0 if self.validation is None else len(self.validation)

    def measure(self, context: Context) -> Measured:
        if self.validation is None:
            return Measured(calibration_axis(context.log_prob, context.test.labels, context.seed))
        outputs = context.runner.outputs(self.validation, context.bar)
        temperature = _temperature(outputs.logits, self.validation.labels)
        content = calibration_axis(context.log_prob, context.test.labels, context.seed, temperature)
        return Measured(content, fingerprints={"validation": outputs.fingerprint})

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self:
        return cls(claim.validation() if "temperature_scaled" in claim.axes["calibration"] else None)

    @classmethod
    def same_data(cls, path: Sequence[str], claimed: ReportContent, measured: ReportContent) -> bool:
        if "temperature_scaled" in path and not same_helper("validation", claimed, measured):
            return False
        return same_test(claimed, measured)


def calibration_axis(
    log_prob: np.ndarray, labels: np.ndarray, seed: int, temperature: float | None = None
) -> dict[str, Any]:
    """Computes ECE, adaptive and classwise ECE with 15 bins, Brier score, mean confidence and the bins of the ECE.

    Args:
        log_prob: (N, C).
        labels: (N,) integers.
        seed: seed of the bootstrap, which gives all intervals but that of the mean confidence.
        temperature: fitted on validation logits (`hfmix.metrics.fit_temperature`); ``temperature_scaled`` then
            holds it, the NLL, and the same figures for ``log_prob / temperature``.
    """
    axis = _calibration_estimates(log_prob, labels, seed)
    if temperature is not None:
        scaled = (torch.from_numpy(log_prob) / temperature).log_softmax(1).numpy()
        axis["temperature_scaled"] = {
            "temperature": temperature,
            "nll": clean_axis(scaled, labels, seed)["nll"],
            **_calibration_estimates(scaled, labels, seed),
        }
    return axis


def _calibration_estimates(log_prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    prob = np.exp(log_prob)
    confidence, correct = prob.max(1), prob.argmax(1) == labels
    bins = reliability_bins(confidence, correct, NUM_BINS)
    brier = brier_terms(prob, labels)

    def ece(confidence: np.ndarray, correct: np.ndarray) -> float:
        return reliability_bins(confidence, correct, NUM_BINS).calibration_error()

    n = len(labels)
    ece_interval = bootstrap_interval(ece, (confidence, correct), seed=seed, bounds=(0, 1))
    brier_interval = bootstrap_interval(np.mean, (brier,), seed=seed, bounds=(0, 2))
    return {
        "ece_15": estimate(bins.calibration_error(), ece_interval, n),
        **_other_calibration_errors(prob, labels, seed),
        "brier": estimate(brier.mean(), brier_interval, n),
        "mean_confidence": estimate(confidence.mean(), mean_interval(confidence, (0, 1)), n),
        "reliability_bins": {
            "count": bins.count.tolist(),
            "accuracy": bins.accuracy.tolist(),
            "confidence": bins.confidence.tolist(),
        },
    }


def _other_calibration_errors(prob: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Computes adaptive and classwise ECE; examples are sorted and binned once, for all resamples."""
    n = len(labels)
    order = np.argsort(prob.max(1))
    confidence, correct = prob.max(1)[order], (prob.argmax(1) == labels)[order]
    classwise = ClasswiseBins.of(prob, labels, NUM_BINS)
    draws: dict[str, list[float]] = {"adaptive": [], "classwise": []}
    for (counts,) in bootstrap_counts(n, seed=seed):
        draws["classwise"] += classwise.calibration_errors(counts).tolist()
        for drawn in counts[:, order].astype(int):
            resample = np.repeat(confidence, drawn), np.repeat(correct, drawn)
            draws["adaptive"].append(adaptive_error_of_sorted(*resample, NUM_BINS))
    values = {
        "adaptive": adaptive_error_of_sorted(confidence, correct, NUM_BINS),
        "classwise": classwise.calibration_error(),
    }
    return {
        f"{key}_ece_15": estimate(value, interval_of_draws(value, draws[key], (0, 1)), n)
        for key, value in values.items()
    }


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """Fits the temperature; None where the model makes no error, so that no temperature is best."""
    return None if (logits.argmax(1) == labels).all() else fit_temperature(logits, labels)
