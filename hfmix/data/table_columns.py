"""The input columns of a table: those that are learned from, and their cells as numbers and words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value

from hfmix.data.kinds.stored import described
from hfmix.data.kinds.table import is_numeric, is_words
from hfmix.data.sources.csv_cells import are_any_numbers, missing_as_null, typed_column
from hfmix.data.sources.csv_rows import as_written, named_rows
from hfmix.utils.text import listed

_INDEX_NAMES = ("index", "idx", "id", "row", "row_id", "rowid", "rownames", "row_names", "no", "no.", "nr", "#")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[-+]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})( \d{1,2}:\d{2}(:\d{2})?)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_HEAD = 1000  # rows on which a column is compared with the labels before all are
_FLOAT32 = 3.4028235677973366e38  # what is larger in magnitude becomes infinite
_OPTIONS = "leave it out with ignore_columns, or list the columns to learn from in feature_column_names"


@dataclass(frozen=True)
class CellReading:
    """The way in which a table's cells are read.

    Attributes:
        missing_values: what stands for a missing cell, besides what CSV files usually have for it.
        categories: columns whose cells are categories even if they are numbers.
    """

    missing_values: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


USUAL_CELLS = CellReading()


def table_inputs(
    dataset: Dataset, given: Sequence[str] | None, others: Sequence[str], labels: Sequence[str], name: str
) -> tuple[list[str], list[str]]:
    """Returns the columns to learn from, and what was guessed about them.

    Those given; or all but `others`, without those that number the rows.

    Args:
        dataset: the training split.
        given: the columns, where they are named.
        others: the label columns, and those that are to be left out.
        labels: the label columns alone.
        name: the split's name in messages.
    """
    if given is not None:
        return list(given), _copies(dataset, given, labels, name)
    inputs, notes = [], []
    for column, feature in dataset.features.items():
        if column in others:
            continue
        if isinstance(feature, Value) and feature.dtype == "null":
            notes.append(f"column {column!r} of the {name} set has no value in any row and is left out")
        elif _numbers_the_rows(dataset, column, feature):
            notes.append(f"column {column!r} of the {name} set numbers its rows and is left out")
        else:
            inputs.append(column)
    return inputs, notes + _copies(dataset, inputs, labels, name)


def as_read(
    dataset: Dataset, inputs: Sequence[str], reading: CellReading, name: str, strict: bool = True
) -> Dataset:
    """Returns the input columns with their cells as finite numbers and words, null where one is missing.

    Args:
        dataset: the split.
        inputs: its columns to read.
        reading: how.
        name: the split's name in messages.
        strict: whether a column of dates, or of numbers and a few words, is an error; otherwise it holds words.

    Raises:
        ValueError: a column holds neither numbers nor words, or numbers that are not finite as float32; or it can
            be read in two ways.
    """
    for column in reading.categories if strict else ():
        if column not in dataset.column_names:
            raise ValueError(
                f"the {name} set has no column {column!r}, which categorical_columns names, only "
                f"{listed(dataset.column_names, 20)}"
            )
    table = dataset.select_columns(list(inputs)).with_format("arrow")[:]
    features, columns = dataset.features, {}
    for column in inputs:
        feature, cells = features[column], table.column(column)
        where = f"column {column!r} of the {name} set"
        if not (is_numeric(feature) or is_words(feature)):
            numbers = ", each of which needs a column of its own," if "lists" in described(feature) else ""
            raise ValueError(
                f"{where} holds neither numbers nor words but {described(feature)}{numbers} so that it cannot be "
                f"learned from: {_OPTIONS}"
            )
        if is_words(feature):
            cells = cells.cast(pa.string()) if cells.type != pa.string() else cells
            known = missing_as_null(cells, reading.missing_values) if reading.missing_values else cells
            if column not in reading.categories and strict:
                cells = _words_or_numbers(dataset, known, known.null_count > cells.null_count, column, name)
            else:
                cells = known
        elif column in reading.categories:
            cells = _as_words(_without(cells, reading.missing_values))
        else:
            cells = _without(cells, reading.missing_values)
            _check_finite(dataset, cells, where)
        columns[column] = cells
    return Dataset(pa.table(columns)) if columns else dataset.select_columns([])


def _words_or_numbers(
    dataset: Dataset, cells: pa.ChunkedArray, were_missing: bool, column: str, name: str
) -> pa.ChunkedArray:
    """Returns a column of strings as it is; as numbers if it holds only these besides its missing values.

    Raises:
        ValueError: it holds dates, or mostly numbers, and words.
    """
    where = f"column {column!r} of the {name} set"
    counts = pc.value_counts(cells.drop_null())
    values, counts = counts.field("values"), counts.field("counts")
    if not len(values):
        return cells
    if all(_DATE.fullmatch(value) for value in values[:_HEAD].to_pylist()):
        raise ValueError(f"{where} holds dates or times ({values[0].as_py()} …): {_OPTIONS}")
    are_numbers = are_any_numbers(values)
    total, of_numbers = pc.sum(counts).as_py(), pc.sum(counts.filter(are_numbers)).as_py() or 0
    if of_numbers == total:
        is_declared = not (were_missing or as_written(dataset))
        typed = None if is_declared else typed_column(cells)
        return cells if typed is None or typed.mark == "either" else typed.cells
    if 2 * of_numbers < total:
        return cells
    odd = values.filter(pc.invert(are_numbers)).to_pylist()
    rows = pc.indices_nonzero(pc.fill_null(pc.is_in(cells, pa.array(odd)), False)).to_pylist()
    raise ValueError(
        f"{where} holds numbers, but {listed([repr(word) for word in odd])} in {named_rows(dataset, rows)}: set "
        f"missing_values to the words that stand for a missing number ({' '.join(map(_quoted, odd[:5]))}), or "
        f"categorical_columns to {column} if its cells are categories"
    )


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w.\-/]+", word) else f"'{word}'"


def _without(cells: pa.ChunkedArray, missing_values: Sequence[str]) -> pa.ChunkedArray:
    """Replaces numbers that stand for a missing cell, such as -999, by null."""
    numbers = []
    for word in missing_values:
        try:
            numbers.append(float(word))
        except ValueError:
            continue
    if not numbers or pa.types.is_boolean(cells.type) or pa.types.is_null(cells.type):
        return cells
    is_missing = pc.is_in(cells.cast(pa.float64(), safe=False), pa.array(numbers))
    return pc.if_else(is_missing, pa.scalar(None, cells.type), cells)


def _as_words(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Writes numbers as words; whole ones without a point."""
    if pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type):
        floats = cells.cast(pa.float64())
        if pc.all(pc.equal(floats, pc.round(floats))).as_py() is not False:
            cells = floats.cast(pa.int64())
    return cells.cast(pa.string())


def _check_finite(dataset: Dataset, cells: pa.ChunkedArray, where: str) -> None:
    """Raises a ValueError for numbers that are infinite as float32."""
    if not (pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type)):
        return
    is_infinite = pc.greater_equal(pc.abs(cells.cast(pa.float64(), safe=False)), _FLOAT32)
    if rows := pc.indices_nonzero(pc.fill_null(is_infinite, False)).to_pylist():
        raise ValueError(f"{where} has an infinite number in {named_rows(dataset, rows)}")


def _numbers_the_rows(dataset: Dataset, column: str, feature: Any) -> bool:
    """Tells whether a column is the index of its rows, by its name and by values that are all different.

    A column without a name (that of a data frame's index, too) or called as an index needs different values; one
    whose name ends in "id" counts the rows from 0 or 1.
    """
    folded = column.strip().casefold()
    is_unnamed = folded == "" or folded.startswith(("unnamed: ", "__index_level_"))
    if not (is_unnamed or folded in _INDEX_NAMES or folded.endswith("id")):
        return False
    if not (is_words(feature) or (isinstance(feature, Value) and "int" in feature.dtype)):
        return False
    cells = _comparable(dataset.select_columns([column]).with_format("arrow")[:].column(0))
    if cells.null_count or len(cells) < 2 or pc.count_distinct(cells).as_py() < len(cells):
        return False
    if is_unnamed or folded in _INDEX_NAMES:
        return True
    return not is_words(feature) and cells.to_pylist() in (
        list(range(len(cells))),
        list(range(1, len(cells) + 1)),
    )


def _copies(dataset: Dataset, columns: Sequence[str], labels: Sequence[str], name: str) -> list[str]:
    """Returns a note on each column from which the label follows one to one."""
    if len(labels) != 1 or len(dataset) < 3:
        return []
    features = dataset.features
    feature = features[labels[0]]
    if not (is_numeric(feature) or is_words(feature) or hasattr(feature, "names")):
        return []
    wanted = [column for column in columns if is_numeric(features[column]) or is_words(features[column])]
    notes = []
    head = dataset.select(range(min(_HEAD, len(dataset)))).with_format("arrow")[:]
    for column in wanted:
        if not _are_one_to_one(head.column(column), head.column(labels[0])):
            continue
        both = dataset.select_columns([column, labels[0]]).with_format("arrow")[:]
        if _are_one_to_one(both.column(column), both.column(labels[0])):
            notes.append(
                f"column {column!r} of the {name} set tells the label {labels[0]!r} in every row: if it would not "
                f"be known of new rows, leave it out with ignore_columns {column}"
            )
    return notes


def _are_one_to_one(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    """Tells whether each value of one column goes with a single value of the other, and some value comes again."""
    if pa.types.is_null(first.type) or pa.types.is_null(second.type):
        return False
    first, second = _comparable(first), _comparable(second)
    sizes = pc.count_distinct(first).as_py(), pc.count_distinct(second).as_py()
    if sizes[0] != sizes[1] or not 1 < sizes[0] < len(first) or first.null_count or second.null_count:
        return False
    pairs = pa.table({"a": first, "b": second}).group_by(["a", "b"]).aggregate([])
    return len(pairs) == sizes[0]


def _comparable(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Casts cells to a type whose values Arrow can compare."""
    if pa.types.is_float16(cells.type) or pa.types.is_decimal(cells.type):
        return cells.cast(pa.float64())
    return cells.cast(pa.string()) if pa.types.is_string_view(cells.type) else cells
