"""Which columns of a data set hold the inputs and the classes, and what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from datasets import Audio, ClassLabel, Dataset, Image, IterableDataset, LargeList, List, Value

from hfmix.data.kinds import KINDS
from hfmix.data.kinds.base import Cells
from hfmix.data.kinds.table import TableCells, is_numeric, is_words


@dataclass(frozen=True)
class Columns:
    """The columns to read.

    Attributes:
        image, audio: the column of inputs; where both are None, the column `image` or `audio`, or the only one of
            such a kind.
        label: the column of classes; None takes `label`, or the only one with classes, or a table's last.
        features: a table's columns of inputs; None takes all but the label's, where there is neither an image nor
            sound but a column of numbers.
    """

    image: str | None = None
    audio: str | None = None
    label: str | None = None
    features: Sequence[str] | None = None

    def __post_init__(self) -> None:
        given = {
            "image_column_name": self.image,
            "audio_column_name": self.audio,
            "feature_column_names": self.features,
        }
        given = [f"{name} {value!r}" for name, value in given.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]}: a model takes one of them")


USUAL = Columns()


def read_cells(dataset: Dataset, columns: Columns, name: str, labelled: bool = True) -> Cells:
    """The inputs of a data set, not decoded.

    Args:
        dataset: with a column of images or sound, or with a table's columns.
        columns: which they are.
        name: for messages.
        labelled: whether a table has a column of classes, which is no input; of one without, every column that
            can be an input is taken, and a `TableProcessor` picks those that it knows.

    Raises:
        ValueError: the set is empty, or the column is not there or holds something else.
    """
    if len(dataset) == 0:
        raise ValueError(f"the {name} set is empty")
    dataset = dataset.with_format(None)  # without a transform that a user has set on it
    kind = kind_of(dataset, columns)
    if kind == "table":
        return TableCells.of(dataset, _table_columns(dataset, columns, name, labelled), name)
    cells = KINDS[kind].cells
    return cells.of(dataset, find_column(dataset, getattr(columns, kind), kind, type(cells.feature), name), name)


def kind_of(dataset: Dataset | IterableDataset, columns: Columns) -> str:
    """ "image", "audio" or "table": what `columns` name, or else what there is."""
    for kind, given in (("image", columns.image), ("audio", columns.audio), ("table", columns.features)):
        if given is not None:
            return kind
    if _holds_sound(dataset):
        return "audio"
    others = {column: feature for column, feature in dataset.features.items() if column != columns.label}
    if "image" in others or any(isinstance(feature, Image) for feature in others.values()):
        return "image"
    if columns.label is None and others:
        others.pop("label" if "label" in others else [*others][-1])
    return "table" if any(map(is_numeric, others.values())) else "image"


def read_labels(dataset: Dataset, columns: Columns, name: str) -> tuple[np.ndarray, list[str]]:
    """(N,) class indices and the names of the classes; of lists of classes (N, C), float32, 1 where one is listed.

    Whole numbers are indices, except in a table, where they are names.

    Raises:
        ValueError: the column is not there, holds something else, or has a row without a class.
    """
    is_table = kind_of(dataset, columns) == "table"
    column = _label_column(dataset, columns, name, is_table)
    feature, values = dataset.features[column], list(dataset.with_format(None)[column])
    if None in values:
        raise ValueError(f"column {column!r} of the {name} set has no class in row {values.index(None)}")
    if isinstance(feature, List | LargeList):
        return _multi_hot(feature.feature, values, column, name)
    if isinstance(feature, ClassLabel):
        class_names, labels = list(feature.names), np.array(values)
    elif is_table and (classes := _whole_numbers(feature, values)) is not None:
        class_names, labels = np.unique(classes, return_inverse=True)
        class_names = [str(class_name) for class_name in class_names.tolist()]
    elif isinstance(feature, Value) and feature.dtype in ("string", "large_string"):
        class_names, labels = np.unique(values, return_inverse=True)
        class_names = class_names.tolist()
    elif isinstance(feature, Value) and "int" in feature.dtype:
        labels = np.array(values)
        class_names = [str(index) for index in range(max(values) + 1)]
    else:
        raise ValueError(f"column {column!r} of the {name} set does not hold classes but {feature}")
    if labels.min() < 0:
        raise ValueError(f"column {column!r} of the {name} set has class {labels.min()} in row {labels.argmin()}")
    return labels.astype(np.int64), class_names


def _multi_hot(feature: Any, values: list[list[Any]], column: str, name: str) -> tuple[np.ndarray, list[str]]:
    """(N, C) float32 from lists of classes, which may be empty."""
    listed = [label for labels in values for label in labels]
    if None in listed:
        row = next(i for i, labels in enumerate(values) if None in labels)
        raise ValueError(f"column {column!r} of the {name} set lists no class but nothing in row {row}")
    if isinstance(feature, ClassLabel):
        class_names, index = list(feature.names), {i: i for i in range(feature.num_classes)}
    elif isinstance(feature, Value) and feature.dtype in ("string", "large_string"):
        class_names = sorted(set(listed))
        index = {class_name: i for i, class_name in enumerate(class_names)}
    elif isinstance(feature, Value) and "int" in feature.dtype:
        class_names = [str(i) for i in range(max(listed, default=-1) + 1)]
        index = {i: i for i in range(len(class_names))}
    else:
        raise ValueError(f"column {column!r} of the {name} set does not hold lists of classes but of {feature}")
    labels = np.zeros((len(values), len(class_names)), dtype=np.float32)
    for row, classes in enumerate(values):
        for label in classes:
            if label not in index:
                raise ValueError(f"column {column!r} of the {name} set has class {label} in row {row}")
            labels[row, index[label]] = 1.0
    return labels, class_names


def columns_like(dataset: Dataset, columns: Columns, name: str) -> Columns:
    """`columns`, and those that were found in a table: what its other splits are read by."""
    if kind_of(dataset, columns) != "table":
        return columns
    label = _label_column(dataset, columns, name, is_table=True)
    return Columns(label=label, features=_table_columns(dataset, columns, name, labelled=True))


def _whole_numbers(feature: Any, values: list[Any]) -> np.ndarray | None:
    """A table's classes that are numbers or booleans; None where they are words, or no whole numbers."""
    if not isinstance(feature, Value) or feature.dtype in ("string", "large_string"):
        return None
    numbers = np.array(values)
    if numbers.dtype.kind in "iub":
        return numbers
    is_whole = numbers.dtype.kind == "f" and np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    return numbers.astype(np.int64) if is_whole else None


def _table_columns(dataset: Dataset, columns: Columns, name: str, labelled: bool) -> list[str]:
    if columns.features is not None:
        there = set(dataset.column_names)
        for column in columns.features:
            if column not in there:
                find_column(dataset, column, "feature", Value, name)  # which says so
        return list(columns.features)
    if not labelled:
        return [c for c, feature in dataset.features.items() if is_numeric(feature) or is_words(feature)]
    label = _label_column(dataset, columns, name, is_table=True)
    return [column for column in dataset.column_names if column != label]


def _label_column(dataset: Dataset, columns: Columns, name: str, is_table: bool) -> str:
    wanted = columns.label
    with_classes = any(isinstance(feature, ClassLabel) for feature in dataset.features.values())
    if is_table and wanted is None and "label" not in dataset.column_names and not with_classes:
        wanted = dataset.column_names[-1]
    return find_column(dataset, wanted, "label", ClassLabel, name)


def _holds_sound(dataset: Dataset | IterableDataset) -> bool:
    if "image" in dataset.column_names or "audio" in dataset.column_names:
        return "image" not in dataset.column_names
    kinds = [type(feature) for feature in dataset.features.values()]
    return Audio in kinds and Image not in kinds


def find_column(dataset: Dataset | IterableDataset, wanted: str | None, usual: str, kind: type, name: str) -> str:
    """A column's name: `wanted`, else `usual`, else the only one whose feature is of a kind.

    Raises:
        ValueError: there is no such column; `name` says in which set.
    """
    columns = dataset.column_names
    if wanted is None:
        within = ClassLabel if usual == "label" else ()
        alike = [
            column
            for column, feature in dataset.features.items()
            if isinstance(feature, kind) or isinstance(getattr(feature, "feature", None), within)
        ]
        wanted = usual if usual in columns or len(alike) != 1 else alike[0]
    if wanted not in columns:
        near = get_close_matches(wanted, columns, n=1)
        option = "feature_column_names" if usual == "feature" else f"{usual}_column_name"
        hint = f"did you mean {near[0]!r}?" if near else f"set {option}"
        there = ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise ValueError(f"the {name} set has no column {wanted!r}, only {there}: {hint}")
    return wanted
