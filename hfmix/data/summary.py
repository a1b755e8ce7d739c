"""A summary of the data that were understood from a source: shown before training, and kept with the run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hfmix.data.datasets.streamed import StreamedData
from hfmix.data.examination import Examination
from hfmix.data.kind_words import words_for
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.opened import LeftOut
from hfmix.utils.text import aligned, printable

MAX_CLASSES = 1000
"""Most classes whose counts are kept; of more, the smallest and the largest are."""
MAX_COLUMNS = 100
"""Most columns of a table whose names are kept; of more, their number is."""
_SPLITS = ("train", "validation", "test")
_SHOWN = 6  # names shown of a long list


@dataclass(frozen=True)
class SplitSummary:
    """A split's size and classes.

    Attributes:
        rows: number of examples; None for a stream.
        origin: where it came from, in words; empty if it is the source's own.
        class_counts: number of examples by class; None for a stream.
    """

    rows: int | None
    origin: str
    class_counts: dict[str, int] | None

    @property
    def extremes(self) -> tuple[tuple[str, int], tuple[str, int]] | None:
        """Returns the smallest class with its count, and the largest; None where counts are not known."""
        if not self.class_counts:
            return None
        ordered = sorted(self.class_counts.items(), key=lambda item: item[1])
        return ordered[0], ordered[-1]


@dataclass(frozen=True)
class DataSummary:
    """A summary of data: kind, classes, splits, sizes, and what was left out.

    Attributes:
        kind: "image", "audio" or "table".
        inputs: the column of images or sound, or a table's columns.
        label: the column of classes.
        class_names: the classes that are learned.
        is_multi_label: whether an example can have several.
        splits: by name.
        facts: smallest, median and largest of each number about the examples, such as ``width``, by name.
        left_out: files or rows that are in no split.
        unreadable: the message on each example that cannot be read.
        notes: what was guessed, skipped or changed.
    """

    kind: str
    inputs: str | list[str] | None
    label: str | None
    class_names: list[str]
    is_multi_label: bool
    splits: dict[str, SplitSummary]
    facts: dict[str, tuple[float, float, float]]
    left_out: tuple[LeftOut, ...]
    unreadable: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON, without the paths of this machine; counts of the classes unless there are many."""
        content = asdict(self)
        if isinstance(self.inputs, list) and len(self.inputs) > MAX_COLUMNS:
            content["inputs"] = len(self.inputs)
        content["num_classes"] = len(self.class_names)
        del content["class_names"]
        content["facts"] = {
            name: dict(zip(("min", "median", "max"), values, strict=True)) for name, values in self.facts.items()
        }
        content["left_out"] = {part.reason: len(part.items) for part in self.left_out}
        content["unreadable"] = len(self.unreadable)
        for name, split in self.splits.items():
            if split.class_counts is not None and len(split.class_counts) > MAX_CLASSES:
                content["splits"][name]["class_counts"] = dict(split.extremes)
        return content

    def text(self) -> str:
        """Returns the summary for a terminal, some ten lines."""
        words = words_for(self.kind)
        names = [name for name in (*_SPLITS, *self.splits) if name in self.splits]
        rows = [(f"  {name}", *self._cells(self.splits[name])) for name in dict.fromkeys(names)]
        classes = "labels, any number an example" if self.is_multi_label else "classes"
        lines = [
            f"data: {words.plural}, {len(self.class_names):,} {classes}: {_listed(self.class_names)}",
            aligned(rows),
            *self._column_lines(),
            *self._fact_lines(),
            *(f"  left out: {part.text()}" for part in self.left_out),
            *(f"  note: {printable(note)}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _cells(self, split: SplitSummary) -> tuple[str, str, str]:
        words = words_for(self.kind)
        rows = "streamed" if split.rows is None else f"{split.rows:,} {words.examples}"
        return rows, _extremes(split, len(self.class_names)), split.origin

    def _column_lines(self) -> list[str]:
        if self.inputs is None:
            return []
        if isinstance(self.inputs, str):
            return [f"  columns: {words_for(self.kind).plural} from {self.inputs!r}, classes from {self.label!r}"]
        number = f"{len(self.inputs)} feature{'s' if len(self.inputs) != 1 else ''}"
        return [f"  columns: {number} ({_listed(self.inputs)}), classes from {self.label!r}"]

    def _fact_lines(self) -> list[str]:
        facts = self.facts
        if "width" in facts:
            low, middle, high = (
                f"{width:.0f}×{height:.0f}" for width, height in zip(facts["width"], facts["height"], strict=True)
            )
            return [f"  pixels: {low}" if low == high else f"  pixels: from {low} to {high}, median {middle}"]
        if "seconds" in facts:
            low, middle, high = (f"{value:.3g}" for value in facts["seconds"])
            slow, _, fast = (f"{value:.0f}" for value in facts["sampling_rate"])
            rate = f"{slow} Hz" if slow == fast else f"{slow} to {fast} Hz"
            length = f"{low} s" if low == high else f"from {low} to {high} s, median {middle}"
            return [f"  clips: {length}, {rate}"]
        return []


def summarise(
    splits: Mapping[str, LabelledData | StreamedData], examinations: Mapping[str, Examination] | None = None
) -> DataSummary:
    """Summarises splits, and what reading their examples showed, by split.

    Columns and classes are those of the training set, or of the first split where there is none.
    """
    examinations = examinations or {}
    train = splits["train"] if "train" in splits else next(iter(splits.values()))
    read = {name: data for name, data in splits.items() if isinstance(data, LabelledData)}
    columns = train.columns
    return DataSummary(
        kind=train.kind,
        inputs=columns and columns.inputs,
        label=columns and columns.label,
        class_names=list(train.class_names),
        is_multi_label=train.is_multi_label,
        splits={name: _split_summary(data) for name, data in splits.items()},
        facts=_facts(list(examinations.values())),
        left_out=tuple(part for data in read.values() for part in data.left_out),
        unreadable=tuple(text for part in examinations.values() for text in part.unreadable.values()),
        notes=tuple(dict.fromkeys(note for data in read.values() for note in data.notes)),
    )


def _split_summary(data: LabelledData | StreamedData) -> SplitSummary:
    if not isinstance(data, LabelledData):
        return SplitSummary(None, "", None)
    labels = data.labels if data.true_labels is None else data.true_labels
    size = len(data.class_names)
    counts = labels.sum(0).astype(int) if data.is_multi_label else np.bincount(labels, minlength=size)
    return SplitSummary(len(data), data.origin, dict(zip(data.class_names, counts.tolist(), strict=True)))


def _facts(examinations: Sequence[Examination]) -> dict[str, tuple[float, float, float]]:
    """Returns the smallest, median and largest of each number; of images, by area."""
    names = dict.fromkeys(name for part in examinations for name in part.facts)
    joined = {name: np.concatenate([part.facts[name] for part in examinations]) for name in names}
    joined = {name: values[~np.isnan(values)] for name, values in joined.items()}
    if not joined or not len(next(iter(joined.values()))):
        return {}
    if "width" in joined:
        order = np.argsort(joined["width"] * joined["height"], kind="stable")
        places = order[[0, len(order) // 2, -1]]
        return {name: tuple(values[places].tolist()) for name, values in joined.items()}
    return {
        name: (float(values.min()), float(np.median(values)), float(values.max()))
        for name, values in joined.items()
    }


def _extremes(split: SplitSummary, num_classes: int) -> str:
    if split.extremes is None:
        return ""
    (smallest, low), (largest, high) = split.extremes
    absent = sum(not count for count in split.class_counts.values())
    missing = f"{absent} of {num_classes} classes have none; " if absent else ""
    if low == high:
        return f"{low:,} of each class"
    return f"{missing}from {low:,} of {printable(smallest)!r} to {high:,} of {printable(largest)!r}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_SHOWN])
    return shown + (f", … {printable(names[-1])}" if len(names) > _SHOWN else "")
