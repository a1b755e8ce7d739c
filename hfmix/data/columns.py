"""The columns of a data set: finding those with inputs and classes, and reading the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from datasets import ClassLabel, Dataset, IterableDataset, LargeList, List

from hfmix.data.kinds import KINDS
from hfmix.data.kinds.base import Cells
from hfmix.data.kinds.stored import content_kind, described, is_file
from hfmix.data.kinds.table import is_numeric, is_words
from hfmix.data.sources.csv_rows import as_written
from hfmix.data.table_columns import USUAL_CELLS, CellReading, as_read, table_inputs
from hfmix.utils.text import listed


@dataclass(frozen=True)
class Columns:
    """The columns to read and how, as far as that is given.

    Attributes:
        image, audio: the column of inputs; if both are None, the column `image` or `audio`, or the only column of
            images or sound.
        label: the column of classes, or several of zeros and ones; None takes `label`, the only column with
            classes, or a table's last column.
        features: a table's columns of inputs; None takes all but the label, if there are numbers or words but
            neither images nor sound.
        ignored: columns of a table that are neither inputs nor classes.
        label_form: whether lists of numbers are class indices or vectors of zeros and ones; None finds out.
        cells: how a table's cells are read.
        class_folder: which folder of a path is its class, "top" or "deepest", where both make sense.
    """

    image: str | None = None
    audio: str | None = None
    label: str | Sequence[str] | None = None
    features: Sequence[str] | None = None
    ignored: Sequence[str] = ()
    label_form: Literal["indices", "multi_hot"] | None = None
    cells: CellReading = USUAL_CELLS
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
        features = set(self.features or ())
        if own := sorted(features & set(self.label_names)):
            raise ValueError(
                f"column {own[0]!r} is the label and cannot be among feature_column_names: the model would only "
                f"copy it"
            )
        if both := sorted((features | set(self.label_names)) & set(self.ignored)):
            raise ValueError(f"column {both[0]!r} is to be read and is among ignore_columns: remove it from one")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Returns the names of the label columns, as far as they are given."""
        return label_names(self.label)


def label_names(label: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the names of label columns as a tuple."""
    return () if label is None else (label,) if isinstance(label, str) else tuple(label)


USUAL = Columns()


def columns_of(options: Any) -> Columns:
    """Returns the columns that options name: attributes of `DataArguments`, or of a command line's."""
    return Columns(
        options.image_column_name,
        options.audio_column_name,
        options.label_column_name,
        options.feature_column_names,
        tuple(options.ignore_columns or ()),
        options.label_form,
        CellReading(tuple(options.missing_values or ()), tuple(options.categorical_columns or ())),
        options.class_folder,
    )


@dataclass(frozen=True)
class Resolved:
    """The columns of one split, as `resolve` found them.

    Attributes:
        kind: "image", "audio" or "table".
        inputs: the column of images or sound, or a table's list of columns.
        label: the column of classes, or a tuple of several; None for a split that is read without classes.
        notes: what was guessed about the columns, in one sentence each.
        label_form: as of `Columns`; once the labels are read, what they were read as.
        cells: how a table's cells are read.
        has_class_names: once the labels are read, whether the source lists the classes.
    """

    kind: str
    inputs: str | list[str]
    label: str | tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    label_form: Literal["indices", "multi_hot"] | None = None
    cells: CellReading = USUAL_CELLS
    has_class_names: bool = False


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
    notes = dataset.source.notes if as_written(dataset) else ()
    if kind == "table":
        if is_stream:
            raise ValueError(f"the {name} set is a table, which is read as a whole: leave streaming out")
        return _resolve_table(dataset, columns, name, labelled, notes)
    inputs, note = _find_inputs(dataset, getattr(columns, kind), kind, columns.label_names, name)
    label = _find_label(dataset, columns.label, name) if labelled else None
    if inputs in label_names(label) and is_file(dataset.features[inputs]):
        raise ValueError(f"column {inputs!r} of the {name} set cannot hold both the inputs and the classes")
    return Resolved(kind, inputs, label, (*notes, *note), columns.label_form)


def read_cells(dataset: Dataset, columns: Resolved, name: str) -> Cells:
    """Reads the inputs of a split, not decoded.

    Raises:
        ValueError: a column does not hold inputs of this kind.
    """
    if columns.kind == "table":
        dataset = as_read(dataset, columns.inputs, columns.cells, name, strict=columns.label is not None)
    else:
        dataset = dataset.with_format(None)  # without a transform that a user has set on it
    return KINDS[columns.kind].cells.of(dataset, columns.inputs, name)


def _kind(dataset: Dataset | IterableDataset, columns: Columns) -> str:
    """Returns the kind of the columns that `columns` names, or else of those that the split has."""
    for kind, given in (("image", columns.image), ("audio", columns.audio), ("table", columns.features)):
        if given is not None:
            return kind
    features = dataset.features  # a copy at each access
    for kind in ("image", "audio"):
        if kind in features and not is_numeric(features[kind]):
            return kind
    others = [column for column in features if column not in columns.label_names]
    kinds = {content_kind(dataset, column, features[column]) for column in others}
    if "audio" in kinds and "image" not in kinds:
        return "audio"
    if "image" in kinds:
        return "image"
    if not columns.label_names and others:
        others.remove("label" if "label" in others else others[-1])
    usable = any(is_numeric(features[c]) or is_words(features[c]) for c in others)
    return "table" if usable else "image"


def _resolve_table(
    dataset: Dataset, columns: Columns, name: str, labelled: bool, notes: tuple[str, ...]
) -> Resolved:
    for wanted, option in ((columns.features or (), "feature_column_names"), (columns.ignored, "ignore_columns")):
        for column in wanted:
            if column not in dataset.column_names and (labelled or option == "feature_column_names"):
                raise _no_column(dataset, column, option, name)
    if not labelled:
        usable = [
            column
            for column, feature in dataset.features.items()
            if (is_numeric(feature) or is_words(feature)) and column not in columns.ignored
        ]
        inputs = usable if columns.features is None else list(columns.features)
        return Resolved("table", inputs, None, notes, cells=columns.cells)
    label, is_guess = _find_table_label(dataset, columns, name)
    if columns.features is not None and (own := set(columns.features) & set(label_names(label))):
        raise ValueError(
            f"column {own.pop()!r} is the label of the {name} set and cannot be among feature_column_names: set "
            f"label_column_name to another, or leave it out of them"
        )
    if is_guess:
        notes = (*notes, f"the last column of the {name} set, {label!r}, is taken for the label")
    inputs, found = table_inputs(
        dataset, columns.features, (*label_names(label), *columns.ignored), label_names(label), name
    )
    if not inputs:
        why = f" ({'; '.join(found)})" if found else ""
        raise ValueError(f"the {name} set has no column to learn from besides the classes{why}")
    return Resolved("table", inputs, label, (*notes, *found), columns.label_form, columns.cells)


def _find_table_label(dataset: Dataset, columns: Columns, name: str) -> tuple[str | tuple[str, ...], bool]:
    """Returns a table's label, and whether it is only taken for that because it is the last column.

    Raises:
        ValueError: the column is missing, or another column is called as labels are.
    """
    with_classes = [c for c, feature in dataset.features.items() if _has_classes(feature)]
    if columns.label is not None or "label" in dataset.column_names or len(with_classes) == 1:
        return _find_label(dataset, columns.label, name), False
    last = [column for column in dataset.column_names if column not in columns.ignored][-1]
    usual = ("label", "labels", "class", "target")
    others = [c for c in dataset.column_names if c.casefold() in usual and c not in columns.ignored]
    if others and last not in others:
        raise ValueError(
            f"the label of the {name} set is {others[0]!r} by its name or {last!r}, the last column: set "
            f"label_column_name to one of them"
        )
    return last, last not in others


def _find_label(
    dataset: Dataset | IterableDataset, wanted: str | Sequence[str] | None, name: str
) -> str | tuple[str, ...]:
    """Returns the column of classes, or several of them.

    Raises:
        ValueError: a column is missing or given twice, or there is none that holds classes for certain.
    """
    if wanted is None:
        alike = [column for column, feature in dataset.features.items() if _has_classes(feature)]
        wanted = "label" if "label" in dataset.column_names or len(alike) != 1 else alike[0]
    names = label_names(wanted)
    for column in names:
        if column not in dataset.column_names:
            raise _no_column(dataset, column, "label_column_name", name)
    if len(set(names)) < len(names):
        raise ValueError(f"label_column_name gives a column twice: {', '.join(names)}")
    return names[0] if len(names) == 1 else names


def _has_classes(feature: Any) -> bool:
    return isinstance(feature, ClassLabel) or (
        isinstance(feature, List | LargeList) and isinstance(feature.feature, ClassLabel)
    )


def _find_inputs(
    dataset: Dataset | IterableDataset, wanted: str | None, kind: str, labels: Sequence[str], name: str
) -> tuple[str, tuple[str, ...]]:
    """Returns the column of images or sound, and a note where its content alone tells.

    Raises:
        ValueError: there is no such column.
    """
    if wanted is None and kind not in dataset.column_names:
        others = [column for column in dataset.column_names if column not in labels]
        features, feature = dataset.features, type(KINDS[kind].cells.feature)
        alike = [column for column in others if isinstance(features[column], feature)]
        if len(alike) == 1:
            return alike[0], ()
        alike = alike or [column for column in others if content_kind(dataset, column, features[column]) == kind]
        if len(alike) == 1:
            plural = KINDS[kind].words.plural
            return alike[0], (f"column {alike[0]!r} of the {name} set holds {plural} and is the input",)
    wanted = kind if wanted is None else wanted
    if wanted not in dataset.column_names:
        raise _no_column(dataset, wanted, f"{kind}_column_name", name)
    return wanted, ()


def _no_column(dataset: Dataset | IterableDataset, wanted: str, option: str, name: str) -> ValueError:
    """Returns the error for a column that is missing: what the others hold, and the option to set."""
    columns = dataset.column_names
    folded = {column.casefold(): column for column in columns}
    near = get_close_matches(wanted.casefold(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}?" if near else f"set {option}"
    shown = columns if near or len(columns) > 5 else [f"{c} ({described(dataset.features[c])})" for c in columns]
    return ValueError(f"the {name} set has no column {wanted!r}, only {listed(shown, 20)}: {hint}")
