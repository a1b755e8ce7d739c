"""Tables: rows of numbers and words, from CSV files or from any data set's columns."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value
from pyarrow import csv

logger = logging.getLogger(__name__)

Row = dict[str, float | str | None]
"""One row: numbers (NaN where the cell is missing) and words (None where it is) by the names of their columns."""

_MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A"]
_NUMBERS = re.compile(r"(u?int|float|double|half|decimal|bool|null)")
_NUMBER = re.compile(r'\s*"?[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"?\s*')
_WORDS = ("string", "large_string", "string_view")


@dataclass(frozen=True, eq=False)
class TableCells:
    """The columns of a table that are inputs.

    Attributes:
        numeric: names of the n columns of numbers.
        numbers: (N, n) float32, NaN where a cell is missing.
        words: the columns of strings by name, (N,) objects, None where a cell is missing.
    """

    numeric: list[str]
    numbers: np.ndarray
    words: dict[str, np.ndarray]
    kind: ClassVar[str] = "table"

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, dataset: Dataset, columns: Sequence[str], name: str) -> "TableCells":
        """These columns of `dataset`.

        Raises:
            ValueError: a column holds neither numbers nor strings, or a number that is not finite as float32;
                `name` says of which set.
        """
        features = dataset.features
        numeric = [column for column in columns if is_numeric(features[column])]
        words = [column for column in columns if is_words(features[column])]
        for column in columns:
            if not (is_numeric(features[column]) or is_words(features[column])):
                raise ValueError(
                    f"column {column!r} of the {name} set holds neither numbers nor words but "
                    f"{features[column]}: set feature_column_names to the columns to learn from"
                )
        table = dataset.with_format("arrow")[:]
        numbers = np.empty((len(dataset), len(numeric)), dtype=np.float32)
        with np.errstate(over="ignore"):  # what is too large for float32 is found below
            for j, column in enumerate(numeric):
                numbers[:, j] = _as_floats(table[column])
        if np.isinf(numbers).any():
            row, j = np.argwhere(np.isinf(numbers))[0]
            raise ValueError(f"{name} row {row} has an infinite number in column {numeric[j]!r}")
        return cls(
            numeric, numbers, {column: np.array(table[column].to_pylist(), dtype=object) for column in words}
        )

    def read(self, row: int, where: str) -> Row:
        """A row; all of them can be read."""
        numbers = dict(zip(self.numeric, self.numbers[row].tolist(), strict=True))
        return numbers | {column: values[row] for column, values in self.words.items()}

    @staticmethod
    def content(row: Row) -> bytes:
        """What makes the row this one and no other: its columns and what they hold."""
        return repr(sorted(row.items())).encode()


def is_numeric(feature: Any) -> bool:
    """Whether a column of this feature holds numbers, booleans, or nothing at all."""
    return isinstance(feature, Value) and bool(_NUMBERS.match(feature.dtype))


def is_words(feature: Any) -> bool:
    """Whether a column of this feature holds strings."""
    return isinstance(feature, Value) and feature.dtype in _WORDS


def read_csv(files: Sequence[str]) -> Dataset:
    """CSV files with the same columns, one after the other.

    The first line names the columns, unless a cell of it is a number: then they are called f0, f1, … An empty
    cell, or one of ``?``, ``NA``, ``NaN`` and ``null``, is missing.

    Raises:
        ValueError: a file is not CSV, or has other columns than the first.
    """
    tables = [_read_csv(file) for file in files]
    if not sum(map(len, tables)):
        raise ValueError(f"no rows in {', '.join(files)}")
    for file, table in zip(files, tables, strict=True):
        if table.column_names != tables[0].column_names:
            raise ValueError(
                f"{file} has other columns than {files[0]}: files of one set have the same, and other sets are "
                f"files or folders of their own"
            )
    return Dataset(pa.concat_tables(tables, promote_options="permissive"))


def _read_csv(file: str) -> pa.Table:
    try:
        with Path(file).open(encoding="utf-8-sig") as lines:
            first = next(lines, "").strip().split(",")
        without_names = any(map(_NUMBER.fullmatch, first))
        # one block, so that a column's type follows from all of its cells
        reading = csv.ReadOptions(
            block_size=Path(file).stat().st_size + 1, autogenerate_column_names=without_names
        )
        converting = csv.ConvertOptions(null_values=_MISSING, strings_can_be_null=True)
        table = csv.read_csv(file, reading, convert_options=converting)
    except (pa.ArrowInvalid, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"{file} is not a CSV file: {' '.join(str(error).split())}") from error
    if without_names:
        logger.warning("%s begins with numbers, not names: its columns are called f0, f1, …", file)
    name, count = Counter(table.column_names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{file} has {count} columns called {name!r}: give each its own name")
    return table


def _as_floats(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return column.cast(pa.float64(), safe=False).to_numpy()
