"""The corruptions axis: accuracy by corruption and severity, their means, and the errors relative to AlexNet's."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hfmix.data.labelled import LabelledData
from hfmix.metrics import bootstrap_interval, mean_interval, reliability_bins
from hfmix.metrics.calibration import calibration_errors
from hfmix.metrics.corruption_error import mean_corruption_error, relative_mean_corruption_error
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.axes.base import (
    Axis,
    ClaimedReport,
    Context,
    Measured,
    ReportContent,
    Request,
    positions,
    same_test,
)
from hfmix.robustness.axes.calibration import NUM_BINS
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.applied import check_names, corrupter, how_applied, reader
from hfmix.robustness.corruptions.cifar_c import CifarC
from hfmix.robustness.corruptions.image.constants import SEVERITIES
from hfmix.robustness.corruptions.image.textures import frost_source
from hfmix.robustness.estimates import estimate, proportion
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.predictions import Predictions


@dataclass(frozen=True)
class Corruptions(Axis):
    """Accuracy, calibration and likelihood on corrupted input.

    Attributes:
        data: the examples to corrupt, from the test set.
        names: the corruptions; None takes the fifteen of ImageNet-C, or all of sound.
        mode: "parity" with ImageNet-C's code or "corrected", see `hfmix.corrupt`.
        stored: images of the test set that were corrupted before, to be read instead.
    """

    data: LabelledData
    names: Sequence[str] | None = None
    mode: Literal["parity", "corrected"] = "parity"
    stored: CifarC | None = None

    @classmethod
    def from_request(cls, request: Request) -> Self:
        stored = None if request["corrupted"] is None else CifarC(request["corrupted"])
        data = request.sample_of_test(request["corruption_samples"])
        return cls(data, request["corruptions"], request["mode"], stored)

    @classmethod
    def unsuited(cls, test: LabelledData) -> str | None:
        return super().unsuited(test) or ("there are none of tables" if test.kind == "table" else None)

    def check(self, context: Context) -> None:
        self._names()
        if self.stored is not None:
            self.stored.check_labels(context.test)

    def passes(self, context: Context) -> int:
        return len(self.data) * len(self._names()) * len(SEVERITIES)

    def seconds(self, context: Context, one_pass: float) -> float:
        """See `Axis.seconds`; corrupting takes its time too, and a few examples tell how long."""
        few = self.data.select(np.arange(min(len(self.data), 16)))
        settings = (self._names(), context.seed, self.mode, context.bar, self.stored)
        under_corruption(context.runner, few.select(np.arange(min(len(few), 2))), *settings)  # what is done once
        start = time.perf_counter()
        under_corruption(context.runner, few, *settings)
        return (time.perf_counter() - start) / len(few) * len(self.data)

    def measure(self, context: Context) -> Measured:
        names, seed = self._names(), context.seed
        corrupted = under_corruption(context.runner, self.data, names, seed, self.mode, context.bar, self.stored)
        axis = corruption_axis(corrupted.correct, corrupted.confidence, corrupted.nll, names, seed)
        places = positions(self.data, context.test)
        if context.log_prob.shape[1] == 1000 and set(ALEXNET_ERRORS) <= set(names):
            clean_correct = (context.log_prob.argmax(1) == context.test.labels)[places]
            axis |= against_alexnet(corrupted.correct, clean_correct, names, seed)
        content = {**how_applied(context.runner.preprocessor, names, self.mode, self.stored), **axis}
        return Measured(content, corrupted_predictions(corrupted.correct, places))

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self | None:
        claimed = claim.axes["corruptions"]
        known = corruption_names(claim.test.kind, extra=True)
        if "read from" in claimed["applied"] and claim.corrupted is None:
            claim.unknown["corruptions"] = "its corrupted images were read from files (--corrupted)"
        elif strange := [name for name in claimed["accuracy"] if name not in known]:
            claim.unknown["corruptions"] = f"this hfmix has no corruption {strange[0]!r}"
        elif claimed.get("frost") not in (None, frost_source()):
            why = f"the report's frost is {claimed['frost']}, the one here {frost_source()}"
            claim.unknown["corruptions/accuracy/frost"] = claim.unknown["corruptions/frost"] = why
            for key in claimed:
                if key not in ("accuracy", "applied", "mode"):
                    claim.unknown[f"corruptions/{key}"] = f"over all corruptions, frost among them: {why}"
        if "corruptions" in claim.unknown:
            return None
        data = claim.test.sample(claimed["mean_accuracy"]["n"], claim.content["seed"])
        stored = None if claim.corrupted is None else CifarC(claim.corrupted)
        return cls(data, list(claimed["accuracy"]), claimed.get("mode", "parity"), stored)

    @classmethod
    def same_data(cls, path: Sequence[str], claimed: ReportContent, measured: ReportContent) -> bool:
        counts = [
            content["axes"]["corruptions"].get("mean_accuracy", {}).get("n") for content in (claimed, measured)
        ]
        return same_test(claimed, measured) and counts[0] == counts[1]

    def _names(self) -> list[str]:
        names = check_names(self.names, self.data.kind)
        return names if self.stored is None else [name for name in names if name in self.stored.names]


@dataclass(frozen=True)
class Corrupted:
    """The model's answers on a data set that was corrupted in every way.

    Attributes:
        correct: (corruptions, severities, N) booleans.
        confidence: the largest probability, float32, of the same shape.
        nll: the negative log-likelihood in nats, float32, of the same shape.
    """

    correct: np.ndarray
    confidence: np.ndarray
    nll: np.ndarray


def under_corruption(
    runner: Runner,
    data: LabelledData,
    corruptions: Sequence[str],
    seed: int,
    mode: Literal["parity", "corrected"],
    bar: tqdm,
    stored: CifarC | None = None,
) -> Corrupted:
    """Runs the model on a data set under all corruptions at all severities.

    Each batch is decoded once, and then corrupted in every way; with `stored`, images that were corrupted before
    are read.
    """

    def prepare(start: int, examples: Sequence[Any]) -> Callable[[str, int], Mapping[str, Tensor]]:
        if stored is not None:
            return reader(runner.preprocessor, stored, data.rows[start : start + len(examples)])
        return corrupter(runner.preprocessor, examples, seed, start, mode, runner.device)

    def batch(
        start: int, examples: Sequence[Any], corrupted: Callable[[str, int], Mapping[str, Tensor]]
    ) -> dict[str, np.ndarray]:
        labels = torch.from_numpy(data.labels[start : start + len(examples)])[:, None]
        cells = np.empty((len(examples), len(corruptions), len(SEVERITIES), 3), np.float32)
        for i, name in enumerate(corruptions):
            for j, severity in enumerate(SEVERITIES):
                logits, _ = runner.forward(corrupted(name, severity))
                log_prob = torch.from_numpy(logits).double().log_softmax(1)
                top, predicted = log_prob.max(1, keepdim=True)
                cells[:, i, j, 0] = (predicted == labels)[:, 0]
                cells[:, i, j, 1] = top[:, 0].exp()
                cells[:, i, j, 2] = -log_prob.gather(1, labels)[:, 0]
                bar.update(len(examples))
        return {"cells": cells}

    source = mode if stored is None else stored.folder.resolve()
    setting = f"corruptions-{seed}-{source}-{hashlib.sha256(' '.join(corruptions).encode()).hexdigest()[:8]}"
    cells = runner.rows(data, setting, prepare, batch, bar, count=False)["cells"]
    correct, confidence, nll = cells.transpose(3, 1, 2, 0)
    return Corrupted(correct.astype(bool), confidence, nll)


def corruption_axis(
    correct: np.ndarray, confidence: np.ndarray, nll: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """Computes accuracy, ECE and NLL; intervals of means resample examples with all their corrupted versions.

    Args:
        correct, confidence, nll: (corruptions, severities, N), see `Corrupted`.
        corruptions: the names of the corruptions, in order.
        seed: seed of the bootstrap.

    Returns:
        ``mean_accuracy``, ``mean_ece_15``, ``mean_nll`` over all cells; ``mean_accuracy_by_severity``;
        ``accuracy`` by corruption and severity.
    """
    n = correct.shape[2]

    def mean(part: np.ndarray) -> dict[str, Any]:
        by_example = part.reshape(-1, n).mean(0)
        return estimate(by_example.mean(), mean_interval(by_example, (0, 1)), n)

    mean_nll = nll.reshape(-1, n).mean(0, dtype=np.float64)

    return {
        "mean_accuracy": mean(correct),
        "mean_ece_15": _mean_ece(correct, confidence, seed),
        "mean_nll": estimate(mean_nll.mean(), bootstrap_interval(np.mean, (mean_nll,), seed=seed), n),
        "mean_accuracy_by_severity": {str(s): mean(correct[:, j]) for j, s in enumerate(SEVERITIES)},
        "accuracy": {
            name: {str(severity): proportion(correct[i, j]) for j, severity in enumerate(SEVERITIES)}
            for i, name in enumerate(corruptions)
        },
    }


def against_alexnet(
    correct: np.ndarray, clean_correct: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """Computes ``mce_alexnet`` and ``relative_mce_alexnet``, as ratios, for a model of ImageNet's 1,000 classes.

    Args:
        correct: (corruptions, severities, N), the fifteen published corruptions among them.
        clean_correct: (N,) booleans for the same examples without corruption.
        corruptions: the names of the corruptions, in order.
        seed: seed of the bootstrap.
    """
    n = correct.shape[2]

    def both(counts: np.ndarray) -> tuple[float, float]:
        errors = {name: 1 - correct[i] @ counts / counts.sum() for i, name in enumerate(corruptions)}
        clean = 1 - clean_correct @ counts / counts.sum()
        relative = relative_mean_corruption_error(errors, clean, ALEXNET_ERRORS, ALEXNET_CLEAN_ERROR)
        return mean_corruption_error(errors, ALEXNET_ERRORS), relative

    draws = np.array([both(drawn) for (counts,) in bootstrap_counts(n, seed=seed, draws=200) for drawn in counts])
    names = ("mce_alexnet", "relative_mce_alexnet")
    return {
        name: estimate(value, interval_of_draws(value, draws[:, k]), n)
        for k, (name, value) in enumerate(zip(names, both(np.ones(n)), strict=True))
    }


def _mean_ece(correct: np.ndarray, confidence: np.ndarray, seed: int) -> dict[str, Any]:
    """Computes the mean of the ECE over all corruptions and severities."""
    n = correct.shape[2]
    cells = list(zip(correct.reshape(-1, n), confidence.reshape(-1, n).astype(np.float64), strict=True))
    value = float(np.mean([reliability_bins(sure, right, NUM_BINS).calibration_error() for right, sure in cells]))
    draws = []
    for (counts,) in bootstrap_counts(n, seed=seed):
        total = np.zeros(len(counts))
        for right, sure in cells:
            total += calibration_errors(sure, right, counts, NUM_BINS)
        draws.append(total / len(cells))
    return estimate(value, interval_of_draws(value, np.concatenate(draws), (0, 1)), n)


ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
# top-1 on the clean validation set (Hendrycks & Dietterich 2019, table 1: 43.5 %)
ALEXNET_CLEAN_ERROR = 0.435


def corrupted_predictions(correct: np.ndarray, positions: np.ndarray) -> Predictions:
    """Returns ``corrupted_accuracy``, (M,), the mean over all cells, and ``corrupted_row``, the examples' places.

    Args:
        correct: (corruptions, severities, M).
        positions: (M,) places of the examples in the test set.
    """
    by_example = correct.mean((0, 1), dtype=np.float64)
    return {"corrupted_accuracy": by_example, "corrupted_row": positions.astype(np.int64)}
