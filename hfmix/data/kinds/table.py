"""Tables: rows of numbers and words, from CSV files or the columns of any data set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value
from torch import Tensor
from torch.utils.data import default_collate

from hfmix.data.kinds.base import Kind, imported_on_call

Row = dict[str, float | str | None]
"""One row: numbers (NaN if missing) and words (None if missing) by column name."""
_NUMBERS = re.compile(r"(u?int|float|double|half|decimal|bool|null)")
_WORDS = ("string", "large_string", "string_view")


@dataclass(frozen=True, eq=False)
class TableCells:
    """The input columns of a table.

    Attributes:
        numeric: the names of the n columns of numbers.
        numbers: (N, n) float32; NaN for a missing cell.
        words: the columns of strings by name, each (N,) objects; None for a missing cell.
    """

    numeric: list[str]
    numbers: np.ndarray
    words: dict[str, np.ndarray]
    kind: ClassVar[str] = "table"

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, dataset: Dataset, columns: Sequence[str], name: str) -> "TableCells":
        """Reads these columns of `dataset`, of finite numbers and strings; `name` says which set it is."""
        features = dataset.features
        numeric = [column for column in columns if is_numeric(features[column])]
        words = [column for column in columns if is_words(features[column])]
        table = dataset.with_format("arrow")[:]
        numbers = np.empty((len(dataset), len(numeric)), dtype=np.float32)
        for j, column in enumerate(numeric):
            numbers[:, j] = _as_floats(table[column])
        return cls(
            numeric, numbers, {column: np.array(table[column].to_pylist(), dtype=object) for column in words}
        )

    def stored(self, rows: Sequence[int]) -> list[Row]:
        """Returns these rows; a table is not encoded."""
        return [self.read(row, f"row {row}") for row in rows]

    def read(self, row: int, where: str) -> Row:
        """Returns a row; every row can be read."""
        numbers = dict(zip(self.numeric, self.numbers[row].tolist(), strict=True))
        return numbers | {column: values[row] for column, values in self.words.items()}

    @staticmethod
    def content(row: Row) -> bytes:
        """Returns the bytes that identify a row: its columns and their values."""
        return repr(sorted(row.items())).encode()


class TablePreprocessor:
    """A processor for the rows of a table.

    Args:
        processor: a `TableProcessor`, or any callable ``(rows, return_tensors="pt")`` that returns a model's
            inputs for a list of rows, each a mapping from columns to numbers and words.
    """

    max_batch_size = None

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def features(self, example: Row) -> dict[str, Tensor]:
        """Computes the model's inputs for one row."""
        return {name: value[0] for name, value in self.inputs([example]).items()}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stacks rows into a batch."""
        return default_collate(list(rows))

    def inputs(self, examples: Sequence[Row]) -> dict[str, Tensor]:
        """Computes the model's inputs for a batch of rows."""
        return dict(self.processor(list(examples), return_tensors="pt"))


def is_numeric(feature: Any) -> bool:
    """Returns whether a column of this feature holds numbers, booleans, or only missing cells."""
    return isinstance(feature, Value) and bool(_NUMBERS.match(feature.dtype))


def is_words(feature: Any) -> bool:
    """Returns whether a column of this feature holds strings."""
    return isinstance(feature, Value) and feature.dtype in _WORDS


def _as_floats(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    return column.cast(pa.float64(), safe=False).to_numpy()


TABLE = Kind(
    "table",
    TableCells,
    TablePreprocessor,
    imported_on_call("hfmix.data.augment.table", "table_transform"),
    is_constant=True,
)
