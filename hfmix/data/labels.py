"""Reading the classes of a split: indices or zeros and ones, from labels in every form that is unambiguous."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from datasets import ClassLabel, Dataset, LargeList, List, Value

from hfmix.data.columns import Resolved
from hfmix.data.kinds.stored import described
from hfmix.data.kinds.table import is_numeric, is_words
from hfmix.data.labelled import folded
from hfmix.data.sources.csv_rows import as_written, named_rows
from hfmix.utils.text import listed

LabelForm = Literal["indices", "multi_hot"]
_EXACT = 2**53  # from here on, float64 does not hold every whole number


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes of a split.

    Attributes:
        values: (N,) int64 class indices; (N, C) float32 zeros and ones if examples can have several classes.
        class_names: the names of the classes, in the order of the indices.
        notes: what was guessed in reading them, in one sentence each.
        form: what lists of numbers were read as; None for other labels.
        are_numbers: whether the names are whole numbers that the column holds, which can be indices elsewhere.
        has_class_names: whether the source lists the classes, so that some can be without an example.
    """

    values: np.ndarray
    class_names: list[str]
    notes: tuple[str, ...] = ()
    form: LabelForm | None = None
    are_numbers: bool = False
    has_class_names: bool = False


def read_labels(dataset: Dataset, columns: Resolved, name: str) -> Labels:
    """Reads the classes of a split.

    The classes of a ClassLabel are its names, those of words are the words in alphabetical order, and those of
    whole numbers are the numbers in their order, each called by its digits. Lists give several classes each: lists
    of words or of ClassLabel always, lists of numbers as `Resolved.label_form` says or as `_form` finds out;
    several label columns of zeros and ones as well.

    Args:
        dataset: the split.
        columns: its columns; `label` is set.
        name: the split's name in messages.

    Raises:
        ValueError: the column does not hold classes, a row has none, or there are two ways to read the labels.
    """
    if isinstance(columns.label, tuple):
        return _of_columns(dataset, columns.label, name)
    column = columns.label
    feature, values = dataset.features[column], _cells(dataset, column)
    where = f"column {column!r} of the {name} set"
    if missing := [row for row, value in enumerate(values) if _is_missing(value)]:
        raise ValueError(_without_class(dataset, column, where, missing, len(values)))
    if isinstance(feature, List | LargeList):
        return _of_lists(dataset, feature, values, columns, where)
    if columns.label_form is not None:
        raise ValueError(
            f"label_form {columns.label_form} is for lists, and {where} holds {feature}: leave it out"
        )
    if isinstance(feature, ClassLabel):
        indices = np.array(values, dtype=np.int64)
        outside = (indices < 0) | (indices >= feature.num_classes)
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(f"{where} has class {indices[row]} in {named_rows(dataset, [row])}")
        return Labels(indices, list(feature.names), _alike(feature.names, where), has_class_names=True)
    if is_words(feature) or (values and isinstance(values[0], str)):
        names = sorted(set(values))
        return Labels(_indices(values, names), names, (*_alike(names, where), *_null_words(values, where)))
    if not is_numeric(feature):
        raise ValueError(f"{where} does not hold classes but {described(feature)}: set label_column_name")
    numbers = _whole(dataset, values, where)
    names = sorted(set(numbers))
    return Labels(
        _indices(numbers, names), [str(number) for number in names], are_numbers=not isinstance(names[0], bool)
    )


def _cells(dataset: Dataset, column: str) -> list[Any]:
    """Returns the cells of a column; words of a CSV file as they are written, so that ``NA`` is a class."""
    feature = dataset.features[column]
    if as_written(dataset):
        values = dataset.typed(column)
        is_inexact = isinstance(feature, Value) and feature.dtype == "float64"
        is_inexact = is_inexact and any(v is not None and v % 1 == 0 and abs(v) >= _EXACT for v in values)
        return dataset.text(column) if is_words(feature) or is_inexact else values
    return dataset.select_columns([column]).with_format("arrow")[:][column].to_pylist()


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _without_class(dataset: Dataset, column: str, where: str, missing: list[int], total: int) -> str:
    count = f" ({len(missing)} of {total} rows)" if len(missing) > 1 else ""
    texts = {dataset.text(column)[row] for row in missing} - {None} if as_written(dataset) else set()
    words = f", where it holds {listed(sorted(map(repr, texts)))} beside numbers" if texts else ""
    return f"{where} has no class in {named_rows(dataset, missing)}{words}{count}: leave these rows out"


def _indices(values: Sequence[Any], names: Sequence[Any]) -> np.ndarray:
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[value] for value in values], dtype=np.int64)


def _whole(dataset: Dataset, values: Sequence[Any], where: str) -> list[int] | list[bool]:
    """Returns numbers as ints, or booleans as they are.

    Raises:
        ValueError: a number is not whole.
    """
    if all(isinstance(value, bool) for value in values):
        return list(values)
    for row, value in enumerate(values):
        if isinstance(value, float | Decimal) and value % 1 != 0:
            raise ValueError(
                f"{where} does not hold classes but numbers such as {value} in {named_rows(dataset, [row])}, "
                f"which would be regression: set label_column_name to the column of classes"
            )
    return [int(value) for value in values]


def _of_lists(dataset: Dataset, feature: Any, values: list[list[Any]], columns: Resolved, where: str) -> Labels:
    """Reads lists of classes, which may be empty, or vectors of zeros and ones."""
    item = feature.feature
    for row, labels in enumerate(values):
        if any(_is_missing(label) for label in labels):
            raise ValueError(f"{where} lists an empty value as a class in {named_rows(dataset, [row])}")
    if isinstance(item, ClassLabel):
        index = {i: i for i in range(item.num_classes)}
        labels = _listed(dataset, values, index, where)
        notes = _alike(item.names, where)
        return Labels(labels, list(item.names), notes, form="indices", has_class_names=True)
    if is_words(item):
        names = sorted({label for labels in values for label in labels})
        index = {class_name: i for i, class_name in enumerate(names)}
        return Labels(_listed(dataset, values, index, where), names, _alike(names, where), form="indices")
    if not is_numeric(item):
        raise ValueError(f"{where} does not hold lists of classes but of {described(item)}")
    form = columns.label_form or _form(values, getattr(feature, "length", -1), item, where)
    if form == "multi_hot":
        return _multi_hot(dataset, values, columns.label_form is None, where)
    numbers = [_whole(dataset, labels, where) for labels in values]
    for row, labels in enumerate(numbers):
        if negative := [label for label in labels if label < 0]:
            raise ValueError(f"{where} has class {negative[0]} in {named_rows(dataset, [row])}")
    classes = sorted({int(label) for labels in numbers for label in labels})
    index = {number: i for i, number in enumerate(classes)}
    return Labels(
        _listed(dataset, numbers, index, where), list(map(str, classes)), form="indices", are_numbers=True
    )


def _form(values: Sequence[Sequence[Any]], length: int, item: Value, where: str) -> LabelForm:
    """Finds out whether lists of numbers are vectors of zeros and ones or lists of class indices.

    They are vectors if they are booleans, floats or of a fixed size; or if all are zeros and ones, of one length,
    and one of them repeats a number, which a list of indices does not.

    Raises:
        ValueError: both are possible.
    """
    are_binary = all(number in (0, 1) for numbers in values for number in numbers)
    lengths = {len(numbers) for numbers in values}
    if item.dtype == "bool" or (length >= 0 and are_binary):
        return "multi_hot"
    if item.dtype.startswith(("float", "double", "half")):
        if not are_binary:
            raise ValueError(
                f"{where} does not hold lists of classes but of {described(item)} other than 0 and 1: shares of "
                f"classes are not read, nor is regression"
            )
        return "multi_hot"
    if not are_binary or len(lengths) > 1 or lengths == {0}:
        return "indices"
    if any(len(set(numbers)) < len(numbers) for numbers in values):
        return "multi_hot"
    size = lengths.pop()
    example = list(values[0])
    raise ValueError(
        f"{where} holds lists such as {example}, which are either vectors of zeros and ones for {size} classes or "
        f"lists of the classes 0 and 1: set label_form to multi_hot or to indices"
    )


def _multi_hot(dataset: Dataset, values: Sequence[Sequence[Any]], is_guess: bool, where: str) -> Labels:
    """Reads vectors of zeros and ones, all of one length; the classes are called by their position."""
    size = len(values[0])
    for row, numbers in enumerate(values):
        if len(numbers) != size:
            raise ValueError(
                f"{where} has {len(numbers)} values in {named_rows(dataset, [row])} and {size} in the first: "
                f"vectors of zeros and ones are all of one length"
            )
        if any(number not in (0, 1) for number in numbers):
            raise ValueError(f"{where} holds {list(numbers)} in {named_rows(dataset, [row])}, not zeros and ones")
    note = f"{where} holds vectors of {size} zeros and ones: 1 stands for a class that an example has"
    return Labels(
        np.array(values, dtype=np.float32).reshape(len(values), size),
        [str(index) for index in range(size)],
        (note,) if is_guess else (),
        form="multi_hot",
        are_numbers=True,
    )


def _listed(dataset: Dataset, values: Sequence[Sequence[Any]], index: Mapping[Any, int], where: str) -> np.ndarray:
    labels = np.zeros((len(values), len(index)), dtype=np.float32)
    for row, classes in enumerate(values):
        for label in classes:
            if label not in index:
                raise ValueError(f"{where} has class {label} in {named_rows(dataset, [row])}")
            labels[row, index[label]] = 1.0
    return labels


def _of_columns(dataset: Dataset, columns: Sequence[str], name: str) -> Labels:
    """Reads one class from each column, which holds zeros and ones."""
    labels = np.zeros((len(dataset), len(columns)), dtype=np.float32)
    for index, column in enumerate(columns):
        values = _cells(dataset, column)
        for row, value in enumerate(values):
            if value not in (0, 1):  # True and 1.0 are 1
                raise ValueError(
                    f"column {column!r} of the {name} set holds {value!r} in {named_rows(dataset, [row])}: "
                    f"several label columns hold 0 or 1 each, whether an example has the class"
                )
        labels[:, index] = np.array(values, dtype=np.float32)
    is_one_hot = len(labels) > 1 and (labels.sum(1) == 1).all()
    note = f"every row of the {name} set has exactly one of the {len(columns)} label columns, which are still "
    note += "learned as classes of which an example can have several"
    return Labels(labels, list(columns), (note,) if is_one_hot else ())


def _alike(class_names: Sequence[str], where: str) -> tuple[str, ...]:
    """Returns a note on names of classes that differ only in case or blanks."""
    groups = defaultdict(list)
    for class_name in class_names:
        groups[folded(class_name)].append(class_name)
    pairs = [" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
    return (f"{where} has classes that differ only in case or blanks: {listed(pairs)}",) if pairs else ()


def _null_words(values: Iterable[str], where: str) -> tuple[str, ...]:
    """Returns a note on classes whose names often stand for a missing cell."""
    counts = Counter(value for value in values if value.casefold() in ("na", "n/a", "nan", "null", "none", "?"))
    words = [f"{word!r} ({count} times)" for word, count in sorted(counts.items())]
    return (f"{where}: {listed(words)} taken for the names of classes, not for missing cells",) if words else ()
