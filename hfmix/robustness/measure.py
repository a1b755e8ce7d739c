"""Every axis, measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hfmix.data.labelled import LabelledData
from hfmix.metrics import fit_temperature
from hfmix.robustness.axes.adversarial import adversarial_axis
from hfmix.robustness.axes.calibration import calibration_axis
from hfmix.robustness.axes.clean import clean_axis, clean_axis_of_several, clean_predictions
from hfmix.robustness.axes.corruptions import (
    ALEXNET_ERRORS,
    against_alexnet,
    corrupted_predictions,
    corruption_axis,
    how_applied,
)
from hfmix.robustness.axes.feature_reference import FeatureReference
from hfmix.robustness.axes.interpolation import interpolation_axis
from hfmix.robustness.axes.memorization import measure_memorization
from hfmix.robustness.axes.ood import ood_axis, ood_groups, ood_predictions
from hfmix.robustness.axes.ood_scores import Scores, full_spectrum, ood_scores
from hfmix.robustness.axes.selective import selective_axis
from hfmix.robustness.context import Asked, EvaluationSets
from hfmix.robustness.inference.runner import Outputs, Runner
from hfmix.robustness.predictions import Predictions


@dataclass(frozen=True)
class Measured:
    """The axes, why some are left out, the test set's fingerprint, and, with one class each, the predictions.

    `aids` are the fingerprints of the data that figures rest on beside the test set: validation, reference.
    """

    axes: dict[str, Any]
    left_out: dict[str, str]
    fingerprint: str
    aids: dict[str, str]
    predictions: Predictions | None


def measure(runner: Runner, sets: EvaluationSets, asked: Asked, bar: tqdm) -> Measured:
    """All axes that are asked for and can be measured on these sets.

    Raises:
        ValueError: what the model gives cannot be used.
    """
    axes, corruptions, seed = asked.axes, asked.corruptions, asked.seed
    measured: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    aids: dict[str, str] = {}
    with_features = sets.reference is not None
    clean = runner.outputs(sets.test, bar, with_features)
    _check_head(clean.logits, sets.test)
    labels, log_prob = sets.test.labels, _log_softmax(clean.logits)
    several = sets.test.is_multi_label
    predictions = {} if several else clean_predictions(clean.logits, log_prob, labels)
    if "clean" in axes:
        measured["clean"] = (
            clean_axis_of_several(clean.logits, labels, seed) if several else clean_axis(log_prob, labels, seed)
        )
    if "calibration" in axes:
        temperature = None if sets.validation is None else _temperature(runner, sets.validation, bar, aids)
        measured["calibration"] = calibration_axis(log_prob, labels, seed, temperature)
    if "selective" in axes:
        measured["selective"] = selective_axis(log_prob, labels, seed)
    if sets.corrupted is not None:
        found = runner.under_corruption(sets.corrupted, corruptions, seed, asked.mode, bar, sets.stored)
        axis = corruption_axis(found.correct, found.confidence, found.nll, corruptions, seed)
        taken = positions(sets.corrupted, sets.test)
        predictions |= corrupted_predictions(found.correct, taken)
        if clean.logits.shape[1] == 1000 and set(ALEXNET_ERRORS) <= set(corruptions):
            clean_correct = (log_prob.argmax(1) == labels)[taken]
            axis |= against_alexnet(found.correct, clean_correct, corruptions, seed)
        measured["corruptions"] = {
            **how_applied(runner.preprocessor, corruptions, asked.mode, sets.stored),
            **axis,
        }
    if sets.attacked is not None:
        taken = positions(sets.attacked, sets.test)
        measured["adversarial"], flags = adversarial_axis(runner, sets.attacked, asked.threats, seed, bar, taken)
        predictions |= flags
    if sets.between is not None:
        measured["interpolation"], by_pair = interpolation_axis(runner, sets.between, asked.pairs, seed, bar)
        predictions |= by_pair
    if sets.noisy is not None:
        measured["memorization"], learnt = measure_memorization(runner, sets.noisy, bar, asked.curve)
        predictions |= learnt
    shifted = {key: runner.outputs(data, bar, with_features) for key, data in sets.shift.items()}
    if shifted:
        measured["shift"] = {
            key: _shift_axis(found, sets.shift[key], sets.test.class_names, seed) for key, found in shifted.items()
        }
    elif "shift" in axes:
        left_out["shift"] = "no further labelled data given (shift=)"
    if sets.ood:
        found, outside = _ood_axes(runner, sets, clean, shifted, asked, bar, aids)
        measured |= found
        predictions |= ood_predictions(outside)
    elif "ood" in axes:
        left_out["ood"] = "no out-of-distribution data given (ood=)"
    return Measured(measured, left_out, clean.fingerprint, aids, predictions or None)


def _ood_axes(
    runner: Runner,
    sets: EvaluationSets,
    clean: Outputs,
    shifted: Mapping[str, Outputs],
    asked: Asked,
    bar: tqdm,
    aids: dict[str, str],
) -> tuple[dict[str, Any], dict[str, Scores]]:
    """``ood``, by set; ``ood_groups``, the means over groups; ``ood_full_spectrum``, shifted input counted in.

    Beside them the scores of each set. Notes the reference's fingerprint in `aids`.
    """
    reference = None
    if sets.reference is not None:
        training = runner.outputs(sets.reference, bar, True)
        aids["reference"] = training.fingerprint
        reference = FeatureReference.fit(training.features, sets.reference.labels)

    def scores(outputs: Outputs) -> Scores:
        return ood_scores(outputs.logits, outputs.features, reference)

    inside, outside, found = scores(clean), {}, {}
    for key, data in sets.ood.items():
        outputs = runner.outputs(data, bar, reference is not None)
        outside[key] = scores(outputs)
        found[key] = {"fingerprint_sha256": outputs.fingerprint, **ood_axis(inside, outside[key], asked.seed)}
    axes: dict[str, Any] = {"ood": found}
    if asked.groups:
        axes["ood_groups"] = ood_groups(inside, outside, asked.groups, asked.seed)
    if shifted:
        wide = full_spectrum(inside, *map(scores, shifted.values()))
        axes["ood_full_spectrum"] = {key: ood_axis(wide, other, asked.seed) for key, other in outside.items()}
    return axes, outside


def positions(part: LabelledData, whole: LabelledData) -> np.ndarray:
    """(M,) where the examples of a part are in the whole."""
    position = {row: i for i, row in enumerate(whole.rows.tolist())}
    return np.array([position[row] for row in part.rows.tolist()])


def _shift_axis(outputs: Outputs, data: LabelledData, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Accuracy, likelihood and calibration, among the classes that the set knows, such as ImageNet-R's 200."""
    known = [index for index, name in enumerate(classes) if name in data.class_names]
    labels = data.with_classes([classes[index] for index in known]).labels
    log_prob = _log_softmax(outputs.logits[:, known])
    clean, calibration = clean_axis(log_prob, labels, seed), calibration_axis(log_prob, labels, seed)
    return {
        "fingerprint_sha256": outputs.fingerprint,
        "num_classes": len(known),
        "accuracy": clean["accuracy"],
        "nll": clean["nll"],
        "ece_15": calibration["ece_15"],
    }


def _temperature(runner: Runner, validation: LabelledData, bar: tqdm, aids: dict[str, str]) -> float | None:
    """Fitted on the validation set; None where the model makes no error there, so that no temperature is best."""
    outputs = runner.outputs(validation, bar)
    logits, aids["validation"] = outputs.logits, outputs.fingerprint
    if (logits.argmax(1) == validation.labels).all():
        return None
    return fit_temperature(logits, validation.labels)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).log_softmax(1).numpy()


def _check_head(logits: np.ndarray, dataset: LabelledData) -> None:
    if not np.isfinite(logits).all():
        row = int(np.flatnonzero(~np.isfinite(logits).all(1))[0])
        raise ValueError(f"the model gives logits that are not finite, first for test example {row}")
    if not dataset.is_multi_label and (logits >= 0).all() and np.allclose(logits.sum(1), 1, atol=1e-3):
        raise ValueError(
            "the model gives probabilities: leave its softmax out, scores and temperature need logits"
        )
    if dataset.is_multi_label and dataset.labels.shape[1] != logits.shape[1]:
        raise ValueError(f"the test set has {dataset.labels.shape[1]} classes, the model {logits.shape[1]}")
    if dataset.is_multi_label and not dataset.labels.any():
        raise ValueError("no example of the test set has a class: there is no precision to measure")
    if not dataset.is_multi_label and dataset.labels.max() >= logits.shape[1]:
        raise ValueError(f"the test set has label {dataset.labels.max()}, the model {logits.shape[1]} classes")
