"""How will this model hold up? One call that measures every axis."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from hfmix.data.columns import Columns
from hfmix.data.labelled import LabelledData
from hfmix.data.preprocess import ImagePreprocessor, Preprocessor, preprocessor_for
from hfmix.data.splits import as_labelled, open_ood
from hfmix.environment import versions
from hfmix.metrics import mean_interval, wilson_interval
from hfmix.robustness import AXES
from hfmix.robustness.calibration import calibration_axis, clean_axis
from hfmix.robustness.corruptions import SEVERITIES, corrupt, corruption_names
from hfmix.robustness.multi_label import clean_axis_of_several
from hfmix.robustness.ood import ood_axis
from hfmix.robustness.report import SCHEMA_VERSION, RobustnessReport, figure


def evaluate_robustness(
    model: nn.Module,
    processor: Any,
    dataset: Dataset | LabelledData,
    axes: Sequence[str] = AXES,
    ood: Mapping[str, Dataset | LabelledData | str] | None = None,
    *,
    image_column: str | None = None,
    audio_column: str | None = None,
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    corruptions: Sequence[str] | None = None,
    corruption_samples: int | None = None,
    batch_size: int = 128,
    seed: int = 0,
    name: str | None = None,
    progress: bool = True,
) -> RobustnessReport:
    """Measures a classifier on clean, corrupted and out-of-distribution images, sound or rows.

    Where examples have any number of classes, the clean axis alone is measured, by the mean average precision.

    Corruption comes after the processor's resize and crop and before its normalisation; where the processor does
    not tell its normalisation, before the processor, and the report says so.

    Args:
        model: gives logits, or an output with `.logits`, for ``model(pixel_values)``; used on its own device.
        processor: any callable ``(images=..., return_tensors="pt")`` that gives ``pixel_values``; for sound a
            feature extractor, or any callable ``(audio=..., sampling_rate=..., return_tensors="pt")``; for a table
            a `TableProcessor`, or any callable ``(rows, return_tensors="pt")``.
        dataset: the test set; labels compare with the logits by index.
        axes: of "clean", "calibration", "corruptions", "ood".
        ood: name to data set, or to what `hfmix evaluate --ood` takes (a folder, Parquet file, Hub id).
        image_column, audio_column, label_column, feature_columns: None takes `image` or `audio`, and `label`, or
            the only column of that kind; of a table the last as label, and all others as features.
        corruptions: names of `hfmix.corruption_names`; None takes all.
        corruption_samples: corrupt so many test images, drawn by `seed`; None takes all.
        batch_size: images a forward pass.
        seed: of corruption, draws and bootstrap.
        name: of the model, for the report.
        progress: show a bar.

    Raises:
        ValueError: an unknown axis or corruption, an empty set, an image that cannot be read, a label outside the
            head, logits that are not finite.
    """
    if unknown := [axis for axis in axes if axis not in AXES]:
        raise ValueError(f"unknown axis {unknown[0]!r}: there are {', '.join(AXES)}")
    corruptions = list(corruptions if corruptions is not None else corruption_names("image"))
    if unknown := [c for c in corruptions if c not in corruption_names("image")]:
        raise ValueError(f"unknown corruption {unknown[0]!r}: there are {', '.join(corruption_names('image'))}")
    if not isinstance(dataset, LabelledData):
        dataset = as_labelled(
            dataset, Columns(image_column, audio_column, label_column, feature_columns), name="test"
        )
    outside = open_ood(ood or {}) if "ood" in axes else {}
    if others := [key for key, data in outside.items() if data.kind != dataset.kind]:
        raise ValueError(f"ood {others[0]} is {outside[others[0]].kind}, the test set is {dataset.kind}")
    runner = _Runner(model, preprocessor_for(dataset.kind, processor), batch_size)
    measured: dict[str, Any] = {}
    left_out: dict[str, str] = {axis: "not asked for" for axis in AXES if axis not in axes}
    if dataset.kind != "image" and "corruptions" in axes:
        left_out["corruptions"] = f"there are none of {'sound' if dataset.kind == 'audio' else 'tables'}"
        axes = [axis for axis in axes if axis != "corruptions"]
    if dataset.is_multi_label:
        several = "for examples of one class; these have several"
        left_out |= {axis: several for axis in axes if axis != "clean"}
        axes, outside = [axis for axis in axes if axis == "clean"], {}
    corrupted = dataset.sample(corruption_samples, seed)
    passes = len(SEVERITIES) * len(corruptions) * len(corrupted) if "corruptions" in axes else 0
    total = len(dataset) + sum(map(len, outside.values())) + passes
    with _evaluating(model), tqdm(total=total, unit="example", desc="robustness", disable=not progress) as bar:
        logits, fingerprint = runner.logits(dataset, bar)
        _check_head(logits, dataset)
        log_prob = torch.from_numpy(logits).log_softmax(1).numpy()
        if "clean" in axes:
            axis = clean_axis_of_several if dataset.is_multi_label else clean_axis
            measured["clean"] = axis(logits if dataset.is_multi_label else log_prob, dataset.labels, seed)
        if "calibration" in axes:
            measured["calibration"] = calibration_axis(log_prob, dataset.labels, seed)
        if "corruptions" in axes:
            correct = runner.correct_under(corrupted, corruptions, seed, bar)
            measured["corruptions"] = _corruption_axis(correct, corruptions, runner.preprocessor.separable)
        if outside:
            measured["ood"] = {}
            for key, images in outside.items():
                ood_logits, ood_fingerprint = runner.logits(images, bar)
                found = ood_axis(logits, ood_logits, seed)
                measured["ood"][key] = {"fingerprint_sha256": ood_fingerprint, **found}
        elif "ood" in axes:
            left_out["ood"] = "no out-of-distribution data given (ood=)"
    return RobustnessReport(
        {
            "schema_version": SCHEMA_VERSION,
            "model": {"name": name, "num_parameters": sum(p.numel() for p in model.parameters())},
            "data": {
                "kind": dataset.kind,
                "num_samples": len(dataset),
                "class_names": dataset.class_names,
                "fingerprint_sha256": fingerprint,
            },
            "seed": seed,
            "versions": versions(),
            "axes": measured,
            "left_out": left_out,
        }
    )


class _Runner:
    """Forward passes over a set, in batches, on the model's device."""

    def __init__(self, model: nn.Module, preprocessor: Preprocessor, batch_size: int) -> None:
        self.model = model
        self.preprocessor = preprocessor
        self.batch_size = min(batch_size, preprocessor.max_batch_size or batch_size)
        self.device = next(model.parameters()).device

    def logits(self, data: LabelledData, bar: tqdm) -> tuple[np.ndarray, str]:
        """(N, C) float64, and the SHA-256 of the decoded examples and their labels in order."""
        rows, fingerprint = [], hashlib.sha256()
        for start, batch in self._batches(data):
            for example, label in zip(batch, data.labels[start : start + len(batch)], strict=True):
                label = f"{np.flatnonzero(label) if data.is_multi_label else label}"
                fingerprint.update(f"{label};".encode() + data.cells.content(example))
            rows.append(self._forward(self.preprocessor.inputs(batch)))
            bar.update(len(batch))
        return torch.cat(rows).double().cpu().numpy(), fingerprint.hexdigest()

    def correct_under(self, images: LabelledData, corruptions: Sequence[str], seed: int, bar: tqdm) -> np.ndarray:
        """(corruptions, severities, N) booleans; each batch is decoded once and then corrupted in every way."""
        correct = np.zeros((len(corruptions), len(SEVERITIES), len(images)), dtype=bool)
        for start, batch in self._batches(images):
            span = slice(start, start + len(batch))
            labels = torch.from_numpy(images.labels[span]).to(self.device)
            corrupted = self._corrupter(self.preprocessor, batch, seed, start)
            for (i, name), (j, severity) in product(enumerate(corruptions), enumerate(SEVERITIES)):
                correct[i, j, span] = self._correct(corrupted(name, severity), labels)
                bar.update(len(batch))
        return correct

    def _corrupter(
        self, preprocessor: ImagePreprocessor, batch: list[Image.Image], seed: int, first: int
    ) -> Callable[[str, int], Tensor]:
        """What turns a corruption and a severity into the model's input; the batch is resized and cropped once."""
        if preprocessor.separable:
            levels = preprocessor.levels(preprocessor.pixel_values(batch)).to(self.device)
            return lambda name, severity: preprocessor.normalize(corrupt(levels, name, severity, seed, first))

        def before_processor(name: str, severity: int) -> Tensor:
            arrays = (corrupt(np.array(image), name, severity, seed, first + i) for i, image in enumerate(batch))
            return preprocessor.pixel_values([Image.fromarray(array) for array in arrays])

        return before_processor

    def _correct(self, pixel_values: Tensor, labels: Tensor) -> np.ndarray:
        return (self._forward({"pixel_values": pixel_values}).argmax(1) == labels).cpu().numpy()

    def _forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        # a plain net names its input as it likes
        output = self.model(*inputs.values()) if len(inputs) == 1 else self.model(**inputs)
        return (output.logits if hasattr(output, "logits") else output).float()

    def _batches(self, data: LabelledData) -> Iterator[tuple[int, list[Any]]]:
        for start in range(0, len(data), self.batch_size):
            yield start, [data.example(i) for i in range(start, min(start + self.batch_size, len(data)))]


def _corruption_axis(correct: np.ndarray, corruptions: Sequence[str], separable: bool) -> dict[str, Any]:
    """Accuracies from (corruptions, severities, N) booleans; means are intervals over images, not over passes."""
    n = correct.shape[2]

    def mean(part: np.ndarray) -> dict[str, Any]:
        by_image = part.reshape(-1, n).mean(0)
        return figure(by_image.mean(), mean_interval(by_image, (0, 1)), n)

    return {
        "applied": "after resize and crop, before normalisation" if separable else "before the processor",
        "mode": "parity",
        "mean_accuracy": mean(correct),
        "mean_accuracy_by_severity": {str(s): mean(correct[:, j]) for j, s in enumerate(SEVERITIES)},
        "accuracy": {
            name: {
                str(severity): figure(correct[i, j].mean(), wilson_interval(int(correct[i, j].sum()), n), n)
                for j, severity in enumerate(SEVERITIES)
            }
            for i, name in enumerate(corruptions)
        },
    }


def _check_head(logits: np.ndarray, dataset: LabelledData) -> None:
    if not np.isfinite(logits).all():
        row = int(np.flatnonzero(~np.isfinite(logits).all(1))[0])
        raise ValueError(f"the model gives logits that are not finite, first for test example {row}")
    if dataset.is_multi_label and dataset.labels.shape[1] != logits.shape[1]:
        raise ValueError(f"the test set has {dataset.labels.shape[1]} classes, the model {logits.shape[1]}")
    if dataset.is_multi_label and not dataset.labels.any():
        raise ValueError("no example of the test set has a class: there is no precision to measure")
    if not dataset.is_multi_label and dataset.labels.max() >= logits.shape[1]:
        raise ValueError(f"the test set has label {dataset.labels.max()}, the model {logits.shape[1]} classes")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the model's mode is put back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
