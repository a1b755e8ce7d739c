"""Which columns of a data set hold the inputs and the classes, and what they hold."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from datasets import Audio, ClassLabel, Dataset, Image, Value

from hfmix.data.images import ImageCells
from hfmix.data.labelled import Cells
from hfmix.data.sounds import SoundCells

_KINDS = {"image": (ImageCells, Image), "audio": (SoundCells, Audio)}


@dataclass(frozen=True)
class Columns:
    """The columns to read.

    Attributes:
        image, audio: the column of inputs; where both are None, the column `image` or `audio`, or the only one of
            such a kind.
        label: the column of classes; None takes `label`, or the only one with classes.
    """

    image: str | None = None
    audio: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.image is not None and self.audio is not None:
            raise ValueError(
                f"image_column_name {self.image!r} and audio_column_name {self.audio!r}: a model takes one of them"
            )


USUAL = Columns()


def read_cells(dataset: Dataset, columns: Columns, name: str) -> Cells:
    """The inputs of a data set, not decoded.

    Raises:
        ValueError: the set is empty, or the column is not there or holds something else.
    """
    if len(dataset) == 0:
        raise ValueError(f"the {name} set is empty")
    dataset = dataset.with_format(None)  # without a transform that a user has set on it
    kind = "audio" if columns.audio is not None else "image"
    if columns.image is None and columns.audio is None and _holds_sound(dataset):
        kind = "audio"
    cells, feature = _KINDS[kind]
    return cells.of(dataset, _find(dataset, getattr(columns, kind), kind, feature, name), name)


def read_labels(dataset: Dataset, columns: Columns, name: str) -> tuple[np.ndarray, list[str]]:
    """(N,) class indices and the names of the classes.

    Raises:
        ValueError: the column is not there, holds something else, or has a row without a class.
    """
    column = _find(dataset, columns.label, "label", ClassLabel, name)
    feature, values = dataset.features[column], list(dataset.with_format(None)[column])
    if None in values:
        raise ValueError(f"column {column!r} of the {name} set has no class in row {values.index(None)}")
    if isinstance(feature, ClassLabel):
        class_names, labels = list(feature.names), np.array(values)
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


def _holds_sound(dataset: Dataset) -> bool:
    if "image" in dataset.column_names or "audio" in dataset.column_names:
        return "image" not in dataset.column_names
    kinds = [type(feature) for feature in dataset.features.values()]
    return Audio in kinds and Image not in kinds


def _find(dataset: Dataset, wanted: str | None, usual: str, kind: type, name: str) -> str:
    columns = dataset.column_names
    if wanted is None:
        alike = [column for column, feature in dataset.features.items() if isinstance(feature, kind)]
        wanted = usual if usual in columns or len(alike) != 1 else alike[0]
    if wanted not in columns:
        near = get_close_matches(wanted, columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"set {usual}_column_name"
        raise ValueError(f"the {name} set has no column {wanted!r}, only {', '.join(columns)}: {hint}")
    return wanted
