"""The memorization axis: how far a net learnt wrong labels by heart (mixup, arXiv 1710.09412, section 3.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from tqdm.auto import tqdm

from hfmix.data.labelled import LabelledData
from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request
from hfmix.robustness.estimates import proportion, proportion_of_count
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.predictions import Predictions


@dataclass(frozen=True)
class LearningCurve:
    """The test errors in the course of a training.

    Attributes:
        epoch: the epochs after which it was measured, ascending; a fraction within an epoch.
        errors: the number of wrong test examples at each.
        n: the number of test examples.
    """

    epoch: tuple[float, ...]
    errors: tuple[int, ...]
    n: int

    @classmethod
    def from_log(cls, log_history: Sequence[Mapping[str, Any]], n: int) -> "LearningCurve | None":
        """Reads the curve from ``trainer.state.log_history``; None where the run had no `EpochTest`.

        Args:
            log_history: entries with ``test_accuracy`` and ``epoch`` among others.
            n: the number of test examples.
        """
        entries = [entry for entry in log_history if "test_accuracy" in entry]
        if not entries:
            return None
        errors = tuple(n - round(entry["test_accuracy"] * n) for entry in entries)
        return cls(tuple(float(entry["epoch"]) for entry in entries), errors, n)


@dataclass(frozen=True)
class Memorization(Axis):
    """Errors on the training examples with true and with wrong labels, and on the test set during training.

    Attributes:
        train: the training data with their `true_labels`.
        curve: the test errors in the course of the training.
    """

    train: LabelledData | None
    curve: LearningCurve | None = None

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls(request.reference, request["learning_curve"])

    def unavailable(self, context: Context) -> str | None:
        if self.train is None:
            return "no training data given (reference=)"
        if self.train.true_labels is None:
            return "it is not known which training labels are wrong: train with label_noise"
        return None

    def passes(self, context: Context) -> int:
        return len(self.train)

    def measure(self, context: Context) -> Measured:
        return Measured(*measure_memorization(context.runner, self.train, context.bar, self.curve))

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self | None:
        for name in ("best_test_error", "best_epoch", "last_test_error", "test_error_by_epoch"):
            claim.unknown[f"memorization/{name}"] = "measured in the course of the training"
        train = claim.reference()
        if train is None or train.true_labels is None:
            claim.unknown["memorization"] = "it is not known which of its training labels were wrong"
            return None
        return cls(train)


def memorization_axis(
    predicted: np.ndarray,
    labels: np.ndarray,
    true_labels: np.ndarray | None,
    curve: LearningCurve | None = None,
) -> dict[str, Any]:
    """Computes training errors on true and wrong labels and the best and last test error, with Wilson's intervals.

    Table 2 of arXiv 1710.09412: ``train_error_true_labels`` and ``train_error_wrong_labels`` are errors against
    the label that was trained on: a net that has learnt the wrong ones by heart has a low error on them.
    ``train_error_wrong_labels_against_truth`` is the error of the same examples against their true class. A group
    without examples has no figure. ``best_test_error`` is the lowest of the curve, first reached at
    ``best_epoch``: it is selected on the test set, as in the paper, and is no estimate of generalisation.

    The paper follows Zhang et al. (arXiv 1611.03530), where a replaced label is most likely drawn from all C
    classes, the true one included. Its share p is then p·(C - 1)/C here, where a replaced label is always wrong,
    and its error on replaced labels counts some that are right.

    Args:
        predicted: (N,) classes, for training examples that were not augmented.
        labels: (N,) classes that were trained on.
        true_labels: (N,) classes before label noise.
        curve: the test errors during training; None leaves them out.

    Raises:
        ValueError: examples have several classes, or it is not known which labels are wrong.
    """
    _check(labels, true_labels)
    is_wrong = labels != true_labels
    of_wrong = predicted[is_wrong]
    parts = {
        "train_error_true_labels": predicted[~is_wrong] != labels[~is_wrong],
        "train_error_wrong_labels": of_wrong != labels[is_wrong],
        "train_error_wrong_labels_against_truth": of_wrong != true_labels[is_wrong],
    }
    axis: dict[str, Any] = {"num_examples": len(labels), "num_wrong_labels": int(is_wrong.sum())}
    axis |= {name: proportion(errors) for name, errors in parts.items() if len(errors)}
    return axis if curve is None else {**axis, **_test_errors(curve)}


def measure_memorization(
    runner: Runner,
    train: LabelledData,
    bar: tqdm,
    curve: LearningCurve | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """Measures `memorization_axis` of the runner's model; returns it and the prediction for each training example.

    The predictions are ``train_predicted``, (N,), beside ``train_label``, ``train_true_label`` and ``train_row``,
    the examples' rows in the data set, by which two models that were trained on the same wrong labels compare.

    Args:
        train: the training data, with their `true_labels`.
        bar: moves by one per example.
        curve: see `memorization_axis`.

    Raises:
        ValueError: see `memorization_axis`; raised before anything is measured.
    """
    _check(train.labels, train.true_labels)
    predicted = runner.outputs(train, bar).logits.argmax(1)
    predictions = {
        "train_predicted": predicted.astype(np.int64),
        "train_label": train.labels.astype(np.int64),
        "train_true_label": train.true_labels.astype(np.int64),
        "train_row": train.rows.astype(np.int64),
    }
    return memorization_axis(predicted, train.labels, train.true_labels, curve), predictions


def _test_errors(curve: LearningCurve) -> dict[str, Any]:
    best = int(np.argmin(curve.errors))
    return {
        "best_test_error": proportion_of_count(curve.errors[best], curve.n),
        "best_epoch": curve.epoch[best],
        "last_test_error": proportion_of_count(curve.errors[-1], curve.n),
        "test_error_by_epoch": {
            "epoch": list(curve.epoch),
            "error": [errors / curve.n for errors in curve.errors],
        },
    }


def _check(labels: np.ndarray, true_labels: np.ndarray | None) -> None:
    if labels.ndim != 1:
        raise ValueError(
            "memorization compares the one label of an example with its true one, and these have several classes"
        )
    if true_labels is None:
        raise ValueError(
            "memorization needs to know which training labels are wrong: train with label_noise, or give data "
            "from LabelledData.with_label_noise"
        )
