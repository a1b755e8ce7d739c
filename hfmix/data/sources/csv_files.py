"""Reading CSV files as a data set."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from datasets import Dataset
from pyarrow import csv

logger = logging.getLogger(__name__)
_MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A"]
_NUMBER = re.compile(r'\s*"?[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"?\s*')


def read_csv(files: Sequence[str]) -> Dataset:
    """Reads CSV files with the same columns into one data set.

    The first line names the columns, unless one of its cells is a number: then they are called f0, f1, … A cell
    that is empty or holds ``?``, ``NA``, ``NaN`` or ``null`` is missing.

    Raises:
        ValueError: a file is not CSV, or its columns differ from those of the first file; or there are no rows.
    """
    tables = [_read_csv(file) for file in files]
    if not sum(map(len, tables)):
        raise ValueError(f"no rows in {', '.join(files)}")
    for file, table in zip(files, tables, strict=True):
        if table.column_names != tables[0].column_names:
            raise ValueError(
                f"{file} has other columns than {files[0]}: all files of a split must have the same columns; put "
                f"other data in files or folders of their own"
            )
    return Dataset(pa.concat_tables(tables, promote_options="permissive"))


def _read_csv(file: str) -> pa.Table:
    try:
        with Path(file).open(encoding="utf-8-sig") as lines:
            first = next(lines, "").strip().split(",")
        without_names = any(map(_NUMBER.fullmatch, first))
        # one block, so that all cells of a column determine its type
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
