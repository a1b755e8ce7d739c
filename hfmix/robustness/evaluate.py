"""How will this model hold up? One call that measures every axis."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset
from torch import nn
from tqdm.auto import tqdm

from hfmix.data.columns import Columns
from hfmix.data.kinds import preprocessor_for
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled, open_labelled, open_ood
from hfmix.robustness.attacks import attacked_model
from hfmix.robustness.attacks.threats import Threat, check_threats
from hfmix.robustness.axes.corruptions import check_names
from hfmix.robustness.axes.feature_reference import NEIGHBOURS
from hfmix.robustness.axes.interpolation import interpolation_axis
from hfmix.robustness.axes.memorization import LearningCurve
from hfmix.robustness.context import Asked, EvaluationSets, check_kind, passes
from hfmix.robustness.corruptions.cifar_c import CifarC
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.inference.sharding import num_processes
from hfmix.robustness.measure import measure
from hfmix.robustness.names import AXES, DEFAULT_AXES
from hfmix.robustness.report import SCHEMA_VERSION, RobustnessReport
from hfmix.robustness.timing import say_how_long
from hfmix.utils.environment import versions

Data = Dataset | LabelledData
# features of more training examples than these change k-NN and Mahalanobis little and cost as many passes
_REFERENCE_SAMPLES = 5_000


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
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
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
        axes: of `hfmix.robustness.AXES`; by default those that need no gradients: "clean", "calibration",
            "selective", "corruptions", "shift" and "ood". There are "adversarial", "interpolation" and
            "memorization" too.
        ood: name to data set, or to what `hfmix evaluate --ood` takes (a folder, Parquet file, Hub id).
        shift: name to a further labelled set, matched to the test set's classes by name. Where it holds some of
            them only, the model chooses among these.
        validation: fits the temperature of the calibration axis; never the test set.
        reference: training examples. Up to 5,000 give the features for k-NN and Mahalanobis; interpolation is
            between them, if they are given, as in mixup's paper; and memorization is of their wrong labels, where
            they have some (`LabelledData.with_label_noise`).
        groups: group to names of `ood`, such as ``{"near": [...], "far": [...]}``.
        image_column, audio_column, label_column, feature_columns: None takes `image` or `audio`, and `label`, or
            the only column of that kind; of a table the last as label, and all others as features.
        corruptions: names of `hfmix.corruption_names`; None takes the fifteen of ImageNet-C, or all of sound.
        corruption_samples: corrupt so many test examples, drawn by `seed`; None takes all.
        mode: see `hfmix.corrupt`.
        corrupted: a folder in CIFAR-10-C's layout, of the same test set; its images are taken instead.
        threats: what is done to examples for the adversarial axis, one a norm.
        attack_samples: attack so many test examples, drawn by `seed`; None takes all.
        pairs: of examples, for interpolation.
        learning_curve: the errors on the test set in the course of training, for memorization.
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
    if pairs < 1:
        raise ValueError(f"pairs is a whole number from 1, not {pairs}")
    preprocessor = preprocessor_for(test.kind, processor)
    training = None
    if reference is not None and not {"ood", "interpolation", "memorization"}.isdisjoint(axes):
        training = _labelled(reference, columns, "reference", test.class_names)
        check_kind(training, test)  # now: what can be measured is tried on it
    trial = Runner(model, preprocessor, batch_size, ResultCache(None, model), alone=True)
    left_out |= _impossible(axes, trial, test, training)
    axes = [axis for axis in axes if axis not in left_out]
    if "adversarial" in axes:
        check_threats(threats, attacked_model(model, preprocessor).bounds)
    corruptions = check_names(corruptions, test.kind) if "corruptions" in axes else []
    stored = None if corrupted is None else CifarC(corrupted)
    if stored is not None:
        stored.check_labels(test)
        corruptions = [name for name in corruptions if name in stored.names]
    sets = EvaluationSets(
        test=test,
        corrupted=test.sample(corruption_samples, seed) if "corruptions" in axes else None,
        stored=stored,
        validation=(
            _labelled(validation, columns, "validation", test.class_names)
            if validation is not None and "calibration" in axes
            else None
        ),
        reference=(
            training.sample(_REFERENCE_SAMPLES, seed)
            if training is not None and len(training) >= NEIGHBOURS and ood and "ood" in axes
            else None
        ),
        attacked=test.sample(attack_samples, seed) if "adversarial" in axes else None,
        between=_pairs_of(test, training) if "interpolation" in axes else None,
        noisy=training if "memorization" in axes else None,
        ood={key: usable(data) for key, data in open_ood(ood or {}).items()} if "ood" in axes else {},
        shift={key: usable(data) for key, data in open_labelled(shift or {}, columns).items()}
        if "shift" in axes
        else {},
    )
    sets.check()
    prepared = preprocessor.features(test.example(0)) if keep is not None else {}
    runner = Runner(model, preprocessor, batch_size, ResultCache(keep, model, prepared))
    asked = Asked(axes, corruptions, groups or {}, mode, threats, pairs, learning_curve, seed)
    if progress:
        say_how_long(runner, sets, asked)
    own = sum(passes(sets, asked).values()) // num_processes()
    with tqdm(total=own, unit="pass", desc="robustness", disable=not progress) as bar:
        found = measure(runner, sets, asked, bar)
    runner.cache.clear()
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
            "settings": {"batch_size": runner.batch_size, "fingerprints_sha256": found.aids},
            "versions": versions(),
            "axes": {axis: found.axes[axis] for axis in (*AXES, *found.axes) if axis in found.axes},
            "left_out": left_out | found.left_out,
        },
        found.predictions,
    )


def _impossible(
    axes: Sequence[str], runner: Runner, test: LabelledData, training: LabelledData | None
) -> dict[str, str]:
    """Why some of these axes cannot be measured with this model and data."""
    found = {}
    if "adversarial" in axes:
        try:
            attacked_model(runner.model, runner.preprocessor)
        except ValueError as error:
            found["adversarial"] = str(error)
    if "interpolation" in axes:
        data = _pairs_of(test, training)
        try:
            with tqdm(disable=True) as bar:
                interpolation_axis(runner, data.select(np.arange(min(len(data), 2))), 1, 0, bar, steps=3)
        except ValueError as error:
            found["interpolation"] = str(error)
    if "memorization" in axes and (training is None or training.true_labels is None):
        found["memorization"] = (
            "no training data given (reference=)"
            if training is None
            else "it is not known which training labels are wrong: train with label_noise"
        )
    return found


def _pairs_of(test: LabelledData, training: LabelledData | None) -> LabelledData:
    """What interpolation draws its pairs from; the classes in between which are the true ones."""
    if training is None:
        return test
    return training if training.true_labels is None else replace(training, labels=training.true_labels)


def _labelled(data: Data, columns: Columns, name: str, classes: Sequence[str] | None = None) -> LabelledData:
    if not isinstance(data, LabelledData):
        return as_labelled(data, columns, classes, name=name)
    return data if classes is None else data.with_classes(classes)
