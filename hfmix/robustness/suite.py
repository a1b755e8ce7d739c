"""How will this model hold up? One call that measures every axis."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from tqdm.auto import tqdm

from hfmix.data.columns import Columns
from hfmix.data.labelled import LabelledData
from hfmix.data.preprocess import preprocessor_for
from hfmix.data.splits import as_labelled, open_labelled, open_ood
from hfmix.environment import versions
from hfmix.metrics import fit_temperature
from hfmix.robustness import AXES
from hfmix.robustness.alexnet import ALEXNET_ERRORS
from hfmix.robustness.calibration import calibration_axis, clean_axis
from hfmix.robustness.cifar_c import CifarC
from hfmix.robustness.corrupting import check_names, how_applied
from hfmix.robustness.corruption_axis import against_alexnet, corruption_axis
from hfmix.robustness.corruptions import SEVERITIES
from hfmix.robustness.multi_label import clean_axis_of_several
from hfmix.robustness.ood import ood_axis, ood_groups
from hfmix.robustness.ood_scores import FeatureReference, Scores, full_spectrum, ood_scores
from hfmix.robustness.pieces import Pieces
from hfmix.robustness.predictions import (
    Predictions,
    clean_predictions,
    corrupted_predictions,
    ood_predictions,
)
from hfmix.robustness.report import SCHEMA_VERSION, RobustnessReport
from hfmix.robustness.runner import Outputs, Runner
from hfmix.robustness.selective import selective_axis
from hfmix.robustness.shards import num_processes

Data = Dataset | LabelledData
# features of more training examples than these change k-NN and Mahalanobis little and cost as many passes
_REFERENCE_SAMPLES = 5_000


def evaluate_robustness(
    model: nn.Module,
    processor: Any,
    dataset: Data,
    axes: Sequence[str] = AXES,
    ood: Mapping[str, Data | str | Path] | None = None,
    *,
    shift: Mapping[str, Data | str | Path] | None = None,
    validation: Data | None = None,
    reference: Data | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    image_column: str | None = None,
    audio_column: str | None = None,
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    corruptions: Sequence[str] | None = None,
    corruption_samples: int | None = None,
    mode: Literal["parity", "corrected"] = "parity",
    corrupted: str | Path | None = None,
    batch_size: int = 128,
    seed: int = 0,
    skip_unreadable: bool = False,
    name: str | None = None,
    keep: str | Path | None = None,
    progress: bool = True,
) -> RobustnessReport:
    """Measures a classifier on clean, corrupted, shifted and out-of-distribution images, sound or rows.

    Where examples have any number of classes, the clean axis alone is measured, by the mean average precision.

    Corruption of images comes after the processor's resize and crop and before its normalisation; where the
    processor does not tell its normalisation, before the processor, and the report says so. Clips are corrupted
    at their own sampling rate. Where torch's process group is up, each process takes its share of the batches,
    and every one returns the whole report.

    Args:
        model: gives logits, or an output with `.logits`, for ``model(pixel_values)``; used on its own device.
        processor: any callable ``(images=..., return_tensors="pt")`` that gives ``pixel_values``; for sound a
            feature extractor, or any callable ``(audio=..., sampling_rate=..., return_tensors="pt")``;
            for a table a `TableProcessor`, or any callable ``(rows, return_tensors="pt")``.
        dataset: the test set; labels compare with the logits by index.
        axes: of "clean", "calibration", "selective", "corruptions", "ood", "shift".
        ood: name to data set, or to what `hfmix evaluate --ood` takes (a folder, Parquet file, Hub id).
        shift: name to a further labelled set, matched to the test set's classes by name. Where it holds some of
            them only, the model chooses among these.
        validation: fits the temperature of the calibration axis; never the test set.
        reference: training examples, of which up to 5,000 give the features for k-NN and Mahalanobis.
        groups: group to names of `ood`, such as ``{"near": [...], "far": [...]}``.
        image_column, audio_column, label_column, feature_columns: None takes `image` or `audio`, and `label`, or
            the only column of that kind; of a table the last as label, and all others as features.
        corruptions: names of `hfmix.corruption_names`; None takes the fifteen of ImageNet-C, or all of sound.
        corruption_samples: corrupt so many test examples, drawn by `seed`; None takes all.
        mode: see `hfmix.corrupt`.
        corrupted: a folder in CIFAR-10-C's layout, of the same test set; its images are taken instead.
        batch_size: examples a forward pass.
        seed: of corruption, draws and bootstrap.
        skip_unreadable: leave out examples that cannot be read, and count them in the report, instead of stopping.
        name: of the model, for the report.
        keep: a folder for finished pieces, from which an evaluation that was stopped goes on; they are removed
            when it is done.
        progress: say how long it will take, and show a bar.

    Raises:
        ValueError: an unknown axis or corruption, an empty set, an example that cannot be read, a label outside
            the head, logits that are not finite.
    """
    if unknown := [axis for axis in axes if axis not in AXES]:
        raise ValueError(f"unknown axis {unknown[0]!r}: there are {', '.join(AXES)}")
    columns = Columns(image_column, audio_column, label_column, feature_columns)
    num_skipped: dict[str, int] = {}

    def usable(data: LabelledData) -> LabelledData:
        if not skip_unreadable:
            return data
        readable = data.readable()
        num_skipped[data.name] = len(data) - len(readable)
        return readable

    test = usable(_labelled(dataset, columns, "test"))
    left_out = {axis: "not asked for" for axis in AXES if axis not in axes}
    if test.is_multi_label:
        several = "for examples of one class; these have several"
        left_out |= {axis: several for axis in axes if axis != "clean"}
    elif test.kind == "table" and "corruptions" in axes:
        left_out["corruptions"] = "there are none of tables"
    axes = [axis for axis in axes if axis not in left_out]
    corruptions = check_names(corruptions, test.kind) if "corruptions" in axes else []
    stored = None if corrupted is None else CifarC(corrupted)
    if stored is not None:
        stored.check_labels(test)
        corruptions = [name for name in corruptions if name in stored.names]
    sets = _Sets(
        test=test,
        corrupted=test.sample(corruption_samples, seed) if "corruptions" in axes else None,
        stored=stored,
        validation=(
            _labelled(validation, columns, "validation", test.class_names)
            if validation is not None and "calibration" in axes
            else None
        ),
        reference=(
            _labelled(reference, columns, "reference", test.class_names).sample(_REFERENCE_SAMPLES, seed)
            if reference is not None and ood and "ood" in axes
            else None
        ),
        ood={key: usable(data) for key, data in open_ood(ood or {}).items()} if "ood" in axes else {},
        shift={key: usable(data) for key, data in open_labelled(shift or {}, columns).items()}
        if "shift" in axes
        else {},
    )
    sets.check()
    preprocessor = preprocessor_for(test.kind, processor)
    prepared = preprocessor.features(test.example(0)) if keep is not None else {}
    runner = Runner(model, preprocessor, batch_size, Pieces(keep, model, prepared))
    if progress:
        _say_how_long(runner, sets, corruptions, seed, mode)
    own = sets.passes(len(corruptions)) // num_processes()
    with tqdm(total=own, unit="example", desc="robustness", disable=not progress) as bar:
        found = _measure(runner, sets, axes, corruptions, groups or {}, seed, mode, bar)
    runner.pieces.clear()
    return RobustnessReport(
        {
            "schema_version": SCHEMA_VERSION,
            "model": {"name": name, "num_parameters": sum(p.numel() for p in model.parameters())},
            "data": {
                "kind": test.kind,
                "num_samples": len(test),
                "class_names": test.class_names,
                "fingerprint_sha256": found.fingerprint,
                **({"num_skipped": num_skipped} if skip_unreadable else {}),
            },
            "seed": seed,
            "versions": versions(),
            "axes": {axis: found.axes[axis] for axis in (*AXES, *found.axes) if axis in found.axes},
            "left_out": left_out | found.left_out,
        },
        found.predictions,
    )


@dataclass(frozen=True)
class _Sets:
    """The data of an evaluation."""

    test: LabelledData
    corrupted: LabelledData | None
    stored: CifarC | None
    validation: LabelledData | None
    reference: LabelledData | None
    ood: Mapping[str, LabelledData]
    shift: Mapping[str, LabelledData]

    def plain(self) -> list[LabelledData]:
        """Those that the model sees as they are."""
        return [
            data
            for data in (self.test, self.validation, self.reference, *self.ood.values(), *self.shift.values())
            if data is not None
        ]

    def passes(self, num_corruptions: int) -> int:
        """Forward passes of examples."""
        cells = num_corruptions * len(SEVERITIES)
        return sum(map(len, self.plain())) + (cells * len(self.corrupted) if self.corrupted is not None else 0)

    def check(self) -> None:
        """Raises a ValueError for a set of another kind than the test set."""
        for data in self.plain():
            if data.kind != self.test.kind:
                raise ValueError(f"the {data.name} set holds {data.kind}, the test set {self.test.kind}")


@dataclass(frozen=True)
class _Measured:
    """The axes, why some are left out, the test set's fingerprint, and, with one class each, the predictions."""

    axes: dict[str, Any]
    left_out: dict[str, str]
    fingerprint: str
    predictions: Predictions | None


def _measure(
    runner: Runner,
    sets: _Sets,
    axes: Sequence[str],
    corruptions: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    seed: int,
    mode: Literal["parity", "corrected"],
    bar: tqdm,
) -> _Measured:
    measured: dict[str, Any] = {}
    left_out: dict[str, str] = {}
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
        temperature = None if sets.validation is None else _temperature(runner, sets.validation, bar)
        measured["calibration"] = calibration_axis(log_prob, labels, seed, temperature)
    if "selective" in axes:
        measured["selective"] = selective_axis(log_prob, labels, seed)
    if sets.corrupted is not None:
        found = runner.under_corruption(sets.corrupted, corruptions, seed, mode, bar, sets.stored)
        axis = corruption_axis(found.correct, found.confidence, found.nll, corruptions, seed)
        position = {row: i for i, row in enumerate(sets.test.rows.tolist())}
        taken = np.array([position[row] for row in sets.corrupted.rows.tolist()])
        predictions |= corrupted_predictions(found.correct, taken)
        if clean.logits.shape[1] == 1000 and set(ALEXNET_ERRORS) <= set(corruptions):
            clean_correct = (log_prob.argmax(1) == labels)[taken]
            axis |= against_alexnet(found.correct, clean_correct, corruptions, seed)
        measured["corruptions"] = {**how_applied(runner.preprocessor, corruptions, mode, sets.stored), **axis}
    shifted = {key: runner.outputs(data, bar, with_features) for key, data in sets.shift.items()}
    if shifted:
        measured["shift"] = {
            key: _shift_axis(found, sets.shift[key], sets.test.class_names, seed) for key, found in shifted.items()
        }
    elif "shift" in axes:
        left_out["shift"] = "no further labelled data given (shift=)"
    if sets.ood:
        found, outside = _ood_axes(runner, sets, clean, shifted, groups, seed, bar)
        measured |= found
        predictions |= ood_predictions(outside)
    elif "ood" in axes:
        left_out["ood"] = "no out-of-distribution data given (ood=)"
    return _Measured(measured, left_out, clean.fingerprint, predictions or None)


def _ood_axes(
    runner: Runner,
    sets: _Sets,
    clean: Outputs,
    shifted: Mapping[str, Outputs],
    groups: Mapping[str, Sequence[str]],
    seed: int,
    bar: tqdm,
) -> tuple[dict[str, Any], dict[str, Scores]]:
    """``ood``, by set; ``ood_groups``, the means over groups; ``ood_full_spectrum``, shifted input counted in.

    Beside them the scores of each set.
    """
    reference = None
    if sets.reference is not None:
        training = runner.outputs(sets.reference, bar, True)
        reference = FeatureReference.fit(training.features, sets.reference.labels)

    def scores(outputs: Outputs) -> Scores:
        return ood_scores(outputs.logits, outputs.features, reference)

    inside, outside, found = scores(clean), {}, {}
    for key, data in sets.ood.items():
        outputs = runner.outputs(data, bar, reference is not None)
        outside[key] = scores(outputs)
        found[key] = {"fingerprint_sha256": outputs.fingerprint, **ood_axis(inside, outside[key], seed)}
    axes: dict[str, Any] = {"ood": found}
    if groups:
        axes["ood_groups"] = ood_groups(inside, outside, groups, seed)
    if shifted:
        wide = full_spectrum(inside, *map(scores, shifted.values()))
        axes["ood_full_spectrum"] = {key: ood_axis(wide, other, seed) for key, other in outside.items()}
    return axes, outside


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


def _temperature(runner: Runner, validation: LabelledData, bar: tqdm) -> float | None:
    """Fitted on the validation set; None where the model makes no error there, so that no temperature is best."""
    logits = runner.outputs(validation, bar).logits
    if (logits.argmax(1) == validation.labels).all():
        return None
    return fit_temperature(logits, validation.labels)


def _say_how_long(
    runner: Runner, sets: _Sets, corruptions: Sequence[str], seed: int, mode: Literal["parity", "corrected"]
) -> None:
    """Prints an estimate from a few timed batches of few examples."""
    few = sets.test.select(np.arange(min(len(sets.test), 2 * runner.batch_size, 64)))
    untimed = Runner(
        runner.model, runner.preprocessor, min(runner.batch_size, 32), Pieces(None, runner.model), alone=True
    )
    with tqdm(disable=True) as bar:
        untimed.outputs(few.select(np.arange(min(len(few), 4))), bar)  # what is done once
        start = time.perf_counter()
        untimed.outputs(few, bar)
        each = (time.perf_counter() - start) / len(few)
        seconds = each * sum(map(len, sets.plain()))
        if sets.corrupted is not None:
            untimed.under_corruption(
                few.select(np.arange(min(len(few), 2))), corruptions, seed, mode, bar, sets.stored
            )
            one = few.select(np.arange(min(len(few), 16)))
            start = time.perf_counter()
            untimed.under_corruption(one, corruptions, seed, mode, bar, sets.stored)
            seconds += (time.perf_counter() - start) / len(one) * len(sets.corrupted)
    if seconds > 60:
        print(f"robustness: this takes about {_duration(seconds)}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _labelled(data: Data, columns: Columns, name: str, classes: Sequence[str] | None = None) -> LabelledData:
    if not isinstance(data, LabelledData):
        return as_labelled(data, columns, classes, name=name)
    return data if classes is None else data.with_classes(classes)


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
