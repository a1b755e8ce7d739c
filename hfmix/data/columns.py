"""The columns of a data set: finding those with inputs and classes, and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from datasets import Audio, ClassLabel, Dataset, Image, IterableDataset, LargeList, List, Value

from hfmix.data.kinds import KINDS
from hfmix.data.kinds.base import Cells
from hfmix.data.kinds.table import is_numeric, is_words


@dataclass(frozen=True)
class Columns:
    """The columns to read, as far as they are given.

    Attributes:
        image, audio: the column of inputs; if both are None, the column `image` or `audio`, or the only column of
            images or sound.
        label: the column of classes; None takes `label`, the only column with classes, or a table's last column.
        features: a table's columns of inputs; None takes all but the label, if there are numbers but neither
            images nor sound.
        class_folder: which folder of a path is its class, "top" or "deepest", where both make sense.
    """

    image: str | None = None
    audio: str | None = None
    label: str | None = None
    features: Sequence[str] | None = None
    class_folder: str | None = None

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


@dataclass(frozen=True)
class Resolved:
    """The columns of one split, as `resolve` found them.

    Attributes:
        kind: "image", "audio" or "table".
        inputs: the column of images or sound, or a table's list of columns.
        label: the column of classes; None for a split that is read without classes.
        notes: what was guessed about the columns, in one sentence each.
    """

    kind: str
    inputs: str | list[str]
    label: str | None
    notes: tuple[str, ...] = ()


def resolve(dataset: Dataset | IterableDataset, columns: Columns, name: str, labelled: bool = True) -> Resolved:
    """Finds the columns of a split.

    Args:
        dataset: with a column of images or sound, or with a table's columns.
        columns: the columns that are given.
        name: the split's name in messages.
        labelled: whether there is a column of classes. Without one, every column of a table that can be an input
            is taken, and a `TableProcessor` picks those that it knows.

    Raises:
        ValueError: the split is empty, a column is missing, or a stream is a table or does not tell its columns.
    """
    is_stream = isinstance(dataset, IterableDataset)
    if not is_stream and len(dataset) == 0:
        raise ValueError(f"the {name} set is empty")
    if dataset.features is None:
        raise ValueError(f"the {name} set does not tell what its columns hold: leave streaming out")
    kind = _kind(dataset, columns)
    if kind == "table":
        if is_stream:
            raise ValueError(f"the {name} set is a table, which is read as a whole: leave streaming out")
        return _resolve_table(dataset, columns, name, labelled)
    inputs = _find_column(dataset, getattr(columns, kind), kind, type(KINDS[kind].cells.feature), name)
    label = _find_column(dataset, columns.label, "label", ClassLabel, name) if labelled else None
    return Resolved(kind, inputs, label)


def read_cells(dataset: Dataset, columns: Resolved, name: str) -> Cells:
    """Reads the inputs of a split, not decoded.

    Raises:
        ValueError: a column does not hold inputs of this kind.
    """
    dataset = dataset.with_format(None)  # without a transform that a user has set on it
    return KINDS[columns.kind].cells.of(dataset, columns.inputs, name)


def read_labels(dataset: Dataset, columns: Resolved, name: str) -> tuple[np.ndarray, list[str]]:
    """Reads the classes of a split: (N,) class indices, and the names of the classes.

    Lists of classes give (N, C) float32, 1 where a class is listed. Whole numbers are indices, except in a table,
    where they are names.

    Raises:
        ValueError: the column does not hold classes, or a row has none.
    """
    column, is_table = columns.label, columns.kind == "table"
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
    """Returns (N, C) float32 labels of lists of classes, which may be empty, and the names of the classes."""
    listed = [label for labels in values for label in labels]
    if None in listed:
        row = next(i for i, labels in enumerate(values) if None in labels)
        raise ValueError(f"column {column!r} of the {name} set lists an empty value as a class in row {row}")
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


def _whole_numbers(feature: Any, values: list[Any]) -> np.ndarray | None:
    """Returns a table's classes if they are whole numbers or booleans, else None."""
    if not isinstance(feature, Value) or feature.dtype in ("string", "large_string"):
        return None
    numbers = np.array(values)
    if numbers.dtype.kind in "iub":
        return numbers
    is_whole = numbers.dtype.kind == "f" and np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    return numbers.astype(np.int64) if is_whole else None


def _kind(dataset: Dataset | IterableDataset, columns: Columns) -> str:
    """Returns the kind of the columns that `columns` names, or else of those that the split has."""
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


def _holds_sound(dataset: Dataset | IterableDataset) -> bool:
    if "image" in dataset.column_names or "audio" in dataset.column_names:
        return "image" not in dataset.column_names
    kinds = [type(feature) for feature in dataset.features.values()]
    return Audio in kinds and Image not in kinds


def _resolve_table(dataset: Dataset, columns: Columns, name: str, labelled: bool) -> Resolved:
    inputs = None
    if columns.features is not None:
        present = set(dataset.column_names)
        for column in columns.features:
            if column not in present:
                _find_column(dataset, column, "feature", Value, name)  # raises
        inputs = list(columns.features)
    if not labelled:
        usable = [c for c, feature in dataset.features.items() if is_numeric(feature) or is_words(feature)]
        return Resolved("table", usable if inputs is None else inputs, None)
    wanted = columns.label
    with_classes = any(isinstance(feature, ClassLabel) for feature in dataset.features.values())
    if wanted is None and "label" not in dataset.column_names and not with_classes:
        wanted = dataset.column_names[-1]
    label = _find_column(dataset, wanted, "label", ClassLabel, name)
    if inputs is None:
        inputs = [column for column in dataset.column_names if column != label]
    return Resolved("table", inputs, label)


def _find_column(dataset: Dataset | IterableDataset, wanted: str | None, usual: str, kind: type, name: str) -> str:
    """Returns the name of a column: `wanted`, else `usual`, else the only one whose feature is of a kind.

    Raises:
        ValueError: there is no such column; the message names the set `name`.
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
        present = ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise ValueError(f"the {name} set has no column {wanted!r}, only {present}: {hint}")
    return wanted
