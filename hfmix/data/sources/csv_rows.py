"""The rows of CSV files as a data set that still knows their text and their lines."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa
from datasets import Dataset

from hfmix.utils.text import listed


@dataclass(frozen=True)
class CsvLayout:
    """The way in which a CSV file is written.

    Attributes:
        file: its path.
        encoding: "utf-8-sig", "utf-16" or "latin-1".
        separator: of the cells.
        skipped: the number of lines before the names or the first row.
        has_names: whether a line of column names follows them.
    """

    file: str
    encoding: str = "utf-8-sig"
    separator: str = ","
    skipped: int = 0
    has_names: bool = True

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Returns the lines of the file, from 1, on which these rows, in ascending order, begin."""
        wanted, numbers = set(rows), []
        with Path(self.file).open(encoding=self.encoding, newline="") as text:
            skipped = sum(1 for _ in islice(text, self.skipped))
            reader = csv.reader(text, delimiter=self.separator)
            position, begin = -1 if self.has_names else 0, skipped + 1
            for cells in reader:
                if cells:
                    if position in wanted:
                        numbers.append(begin)
                        if len(numbers) == len(wanted):
                            break
                    position += 1
                begin = skipped + reader.line_num + 1
        return numbers


@dataclass(frozen=True, eq=False)
class CsvText:
    """The cells of CSV files as they are written, without the blanks around them.

    Attributes:
        cells: the columns by name, strings; an empty cell is null.
        files: the layout and the number of rows of each file, in order.
        notes: what was guessed in reading them, in one sentence each.
    """

    cells: pa.Table
    files: tuple[tuple[CsvLayout, int], ...]
    notes: tuple[str, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "CsvText":
        return self  # as the tables of `datasets`, which copies a data set to set its format

    def places(self, rows: Sequence[int]) -> list[str]:
        """Returns where rows, in ascending order, are in the files, such as "line 3 of train.csv"."""
        places, first = [], 0
        for layout, count in self.files:
            lines = layout.lines([row - first for row in rows if first <= row < first + count])
            file = Path(layout.file).name
            if lines:
                places.append(f"line{'s' if len(lines) > 1 else ''} {listed(lines)} of {file}")
            first += count
        return places


class CsvRows(Dataset):
    """A data set of CSV files: numbers where all known cells of a column are numbers, words elsewhere.

    Args:
        table: the columns with their types.
        source: the cells as they are written.
    """

    def __init__(self, table: pa.Table, source: CsvText) -> None:
        super().__init__(table)
        self.source = source

    def text(self, column: str) -> list[str | None]:
        """Returns the cells of a column as they are written; None for an empty one."""
        return self.source.cells.column(column).to_pylist()

    def typed(self, column: str) -> list[Any]:
        """Returns the cells of a column by its type; None for a missing one."""
        return self.data.column(column).to_pylist()

    @property
    def is_as_written(self) -> bool:
        """Tells whether the rows and columns are still those of the files."""
        return self._indices is None and self.data.shape == self.source.cells.shape


def named_rows(dataset: Dataset, rows: Sequence[int]) -> str:
    """Returns the names of rows in messages, "row 3" or "rows 3, 4 and 9"; the lines of a CSV file."""
    if as_written(dataset):
        return listed(dataset.source.places(rows))
    return f"row{'s' if len(rows) > 1 else ''} {listed(rows)}"


def as_written(dataset: Dataset) -> TypeGuard[CsvRows]:
    """Tells whether a data set is of CSV files and has not been changed since."""
    return isinstance(dataset, CsvRows) and dataset.is_as_written
