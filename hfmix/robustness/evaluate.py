"""The robustness report of a model: one call that measures every axis."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from torch import nn
from tqdm.auto import tqdm

from hfmix.data.columns import Columns
from hfmix.data.examination import examine
from hfmix.data.kinds import preprocessor_for
from hfmix.data.kinds.audio import shortest_clip
from hfmix.data.kinds.base import Preprocessor
from hfmix.data.labelled import LabelledData
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.axes.base import Axis, Context, Request, as_outputs, axis_class, labelled
from hfmix.robustness.axes.clean import clean_predictions
from hfmix.robustness.axes.memorization import LearningCurve
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.inference.sharding import num_processes
from hfmix.robustness.names import AXES, DEFAULT_AXES
from hfmix.robustness.report import SCHEMA_VERSION, RobustnessReport
from hfmix.robustness.timing import say_how_long
from hfmix.utils.environment import versions
from hfmix.utils.model_calls import evaluating

Data = Dataset | LabelledData


def evaluate_robustness(
    model: nn.Module,
    processor: Any,
    dataset: Data,
    axes: Sequence[str] = DEFAULT_AXES,
    ood: Mapping[str, Data | str | Path] | None = None,
    *,
    shift: Mapping[str, Data | str | Path] | None = None,
    validation: Data | None = None,
    reference: Data | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    image_column: str | None = None,
    audio_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    feature_columns: Sequence[str] | None = None,
    label_form: Literal["indices", "multi_hot"] | None = None,
    corruptions: Sequence[str] | None = None,
    corruption_samples: int | None = None,
    mode: Literal["parity", "corrected"] = "parity",
    corrupted: str | Path | None = None,
    threats: Sequence[Threat] = (Threat(),),
    attack_samples: int | None = None,
    pairs: int = 500,
    learning_curve: LearningCurve | None = None,
    batch_size: int = 128,
    seed: int = 0,
    skip_unreadable: bool = False,
    name: str | None = None,
    keep: str | Path | None = None,
    progress: bool = True,
) -> RobustnessReport:
    """Measures a classifier on clean, corrupted, shifted and out-of-distribution images, sound or tables.

    If examples have any number of classes, only the clean axis is measured, by the mean average precision.

    Images are corrupted after the processor's resize and crop and before its normalisation; if the processor does
    not tell its normalisation, before the processor, and the report says so. Clips are corrupted at their own
    sampling rate. If torch's process group is initialised, each process takes its share of the batches, and every
    process returns the whole report.

    Args:
        model: returns logits, or an output with `.logits`, for ``model(pixel_values)``; used on its own device.
        processor: any callable ``(images=..., return_tensors="pt")`` that returns ``pixel_values``; for sound a
            feature extractor, or any callable ``(audio=..., sampling_rate=..., return_tensors="pt")``;
            for a table a `TableProcessor`, or any callable ``(rows, return_tensors="pt")``.
        dataset: the test set; its labels are indices of the logits. Whole numbers are matched to the names in
            ``model.config.id2label`` if these are their digits; in a table without a 0 they are names in their
            order.
        axes: names in `hfmix.robustness.AXES`; by default those that need no gradients: "clean", "calibration",
            "selective", "corruptions", "shift" and "ood". "adversarial", "interpolation" and "memorization" are
            measured on request.
        ood: out-of-distribution data by name: data sets, or what `hfmix evaluate --ood` takes (a folder, Parquet
            file, Hub id).
        shift: further labelled sets by name, matched to the test set's classes by name. If a set holds only some
            of them, the model chooses among these.
        validation: data to fit the temperature of the calibration axis on; never the test set.
        reference: training examples. Up to 5,000 of them give the features for k-NN and Mahalanobis; interpolation
            is between them, if given, as in mixup's paper; memorization is measured on their wrong labels, if
            they have any (`LabelledData.with_label_noise`).
        groups: names of `ood` sets by group, such as ``{"near": [...], "far": [...]}``.
        image_column, audio_column, label_column, feature_columns: None takes `image` or `audio`, and `label`, or
            the only column of that kind; for a table the last column as label and all others as features.
        label_form: what lists of numbers are as labels: indices of classes, or a zero or one per class; None finds
            out, where only one is possible.
        corruptions: names of `hfmix.corruption_names`; None takes the fifteen of ImageNet-C, or all of sound.
        corruption_samples: number of test examples to corrupt, drawn by `seed`; None takes all.
        mode: see `hfmix.corrupt`.
        corrupted: a folder in CIFAR-10-C's layout with corrupted images of the same test set, to be used instead.
        threats: the attacks of the adversarial axis, one threat per norm.
        attack_samples: number of test examples to attack, drawn by `seed`; None takes all.
        pairs: number of pairs of examples for interpolation.
        learning_curve: the test errors in the course of training, for memorization.
        batch_size: examples per forward pass.
        seed: seed of corruption, draws and the bootstrap.
        skip_unreadable: leave out examples that cannot be read, and count them in the report, instead of stopping.
        name: the model's name, for the report.
        keep: a folder for finished parts, from which a stopped evaluation resumes; they are removed at the end.
        progress: print how long it will take, and show a bar.

    Raises:
        ValueError: an unknown axis or corruption, an empty set, an example that cannot be read, a label outside
            the head, or logits that are not finite.
    """
    if unknown := [axis for axis in axes if axis not in AXES]:
        raise ValueError(f"unknown axis {unknown[0]!r}: there are {', '.join(AXES)}")
    columns = Columns(image_column, audio_column, label_column, feature_columns, label_form=label_form)
    num_skipped: dict[str, int] = {}

    def usable(data: LabelledData) -> LabelledData:
        if not skip_unreadable:
            return data
        readable = examine(data, progress).with_shortest(data, shortest_clip(model, processor)).usable(data)
        num_skipped[data.name] = len(data) - len(readable)
        return readable

    test = labelled(dataset, columns, "test")
    test = usable(test if isinstance(dataset, LabelledData) else as_outputs(test, model))
    left_out = {axis: "not asked for" for axis in AXES if axis not in axes}
    for axis in axes:
        if reason := axis_class(axis).unsuited(test):
            left_out[axis] = reason
    suited = [axis for axis in AXES if axis not in left_out]
    given = {
        "ood": ood,
        "shift": shift,
        "validation": validation,
        "reference": reference,
        "groups": groups,
        "corruptions": corruptions,
        "corruption_samples": corruption_samples,
        "mode": mode,
        "corrupted": corrupted,
        "threats": threats,
        "attack_samples": attack_samples,
        "pairs": pairs,
        "learning_curve": learning_curve,
        "seed": seed,
    }
    request = Request(test, suited, usable, columns, given)
    return measure_axes(
        model,
        preprocessor_for(test.kind, processor),
        test,
        {axis: axis_class(axis).from_request(request) for axis in suited},
        batch_size=batch_size,
        seed=seed,
        name=name,
        keep=keep,
        progress=progress,
        left_out=left_out,
        num_skipped=num_skipped if skip_unreadable else None,
    )


def measure_axes(
    model: nn.Module,
    preprocessor: Preprocessor,
    test: LabelledData,
    axes: Mapping[str, Axis],
    *,
    batch_size: int = 128,
    seed: int = 0,
    name: str | None = None,
    keep: str | Path | None = None,
    progress: bool = True,
    left_out: Mapping[str, str] | None = None,
    num_skipped: Mapping[str, int] | None = None,
) -> RobustnessReport:
    """Measures these axes, those that the model allows, and puts the report together.

    Args:
        model, batch_size, seed, name, keep, progress: see `evaluate_robustness`.
        preprocessor: makes the model's inputs.
        test: the test set.
        axes: the records of the axes by name, in the order of the report.
        left_out: why other axes are not measured.
        num_skipped: number of examples of each set that could not be read; None if all had to be.

    Raises:
        ValueError: settings that do not go with the model, logits that cannot be used.
    """
    left_out, axes = dict(left_out or {}), dict(axes)
    with tqdm(disable=True) as no_bar:
        alone = Runner(model, preprocessor, batch_size, ResultCache(None, model), alone=True)
        context = Context(alone, test, seed, no_bar)
        for key, axis in list(axes.items()):
            if (reason := axis.unavailable(context)) is not None:
                left_out[key] = reason
                del axes[key]
            else:
                axis.check(context)
    prepared = preprocessor.features(test.example(0)) if keep is not None else {}
    runner = Runner(model, preprocessor, batch_size, ResultCache(keep, model, prepared))
    with_features = any(axis.needs_features for axis in axes.values())
    if progress:
        say_how_long(list(axes.values()), Context(runner, test, seed, tqdm(disable=True)))
    passes = len(test) + sum(axis.passes(context) for axis in axes.values())
    bar = tqdm(total=passes // num_processes(), unit="pass", desc="robustness", disable=not progress)
    with bar, evaluating(model):  # once for all passes: to change the mode takes as long as a small batch
        context = Context(runner, test, seed, bar, with_features)
        clean = context.outputs(test)
        _check_head(clean.logits, test)
        measured = {key: axis.measure(context) for key, axis in axes.items()}
    runner.cache.clear()
    predictions = {} if test.is_multi_label else clean_predictions(clean.logits, context.log_prob, test.labels)
    fingerprints: dict[str, str] = {}
    for result in measured.values():
        predictions |= result.predictions
        fingerprints |= result.fingerprints
    return RobustnessReport(
        {
            "schema_version": SCHEMA_VERSION,
            "model": {"name": name, "num_parameters": sum(p.numel() for p in model.parameters())},
            "data": {
                "kind": test.kind,
                "num_samples": len(test),
                "class_names": test.class_names,
                "fingerprint_sha256": clean.fingerprint,
                **({} if num_skipped is None else {"num_skipped": dict(num_skipped)}),
            },
            "seed": seed,
            "settings": {"batch_size": runner.batch_size, "fingerprints_sha256": fingerprints},
            "versions": versions(),
            "axes": {key: result.content for key, result in measured.items()}
            | {key: content for result in measured.values() for key, content in result.further.items()},
            "left_out": left_out,
        },
        predictions or None,
    )


def _check_head(logits: np.ndarray, dataset: LabelledData) -> None:
    """Raises a ValueError for logits of a test set that no figure can follow from."""
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
