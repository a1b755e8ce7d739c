"""The processor from a table's rows to a model's inputs, with the statistics of the training set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import TensorType

from hfmix.data.kinds.table import Row, TableCells
from hfmix.data.labelled import LabelledData
from hfmix.utils.text import listed

MAX_CATEGORIES = 100
"""Most distinct values a column of words may have; one with more is free text or names, not categories."""


class TableProcessor(FeatureExtractionMixin):
    """A processor of rows: standardised numbers, then a 0 or 1 for each category of each column of words.

    Features are in the order of the column names, not of the columns in the table.

    A missing number becomes the training set's median; a word that is missing, or is no category of the training
    set, has 0 for every category (`held_out_notes` counts both). Numbers are
    standardised by the mean and standard deviation of the training set with missing cells filled; a column that is
    constant there is only shifted. Unknown columns are ignored.

    Args:
        numbers: ``{"median": …, "mean": …, "std": …}`` by column name, as `fit` computes them.
        words: the categories of the training set by column name.
    """

    model_input_names = ("input_features",)

    def __init__(
        self,
        numbers: Mapping[str, Mapping[str, float]] | None = None,
        words: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # sorted by name, as in a saved file
        self.numbers = {column: dict(statistics) for column, statistics in sorted((numbers or {}).items())}
        self.words = {column: list(categories) for column, categories in sorted((words or {}).items())}

    @classmethod
    def fit(cls, data: LabelledData) -> "TableProcessor":
        """Computes the statistics of a training set.

        Raises:
            ValueError: the set has no column to learn from, or one with too many different words.
        """
        cells: TableCells = data.cells
        numbers = cells.numbers[data.rows].astype(np.float64)
        medians = np.zeros(numbers.shape[1])
        known = ~np.isnan(numbers).all(0)
        medians[known] = np.nanmedian(numbers[:, known], axis=0)
        filled = np.where(np.isnan(numbers), medians, numbers)
        statistics = zip(medians.tolist(), filled.mean(0).tolist(), filled.std(0).tolist(), strict=True)
        words = {column: sorted({*values[data.rows]} - {None}) for column, values in cells.words.items()}
        for column, categories in words.items():
            if len(categories) > MAX_CATEGORIES:
                raise ValueError(
                    f"column {column!r} of the {data.name} set has {len(categories)} different words, more "
                    f"than the {MAX_CATEGORIES} that are taken as categories, as free text and names have "
                    f"({categories[0][:40]!r} …): leave it out with ignore_columns, or list the columns to learn "
                    f"from in feature_column_names"
                )
        if not cells.numeric and not words:
            raise ValueError(f"the {data.name} set has no column to learn from besides the classes")
        return cls(
            {
                column: dict(zip(("median", "mean", "std"), values, strict=True))
                for column, values in zip(cells.numeric, statistics, strict=True)
            },
            words,
        )

    @property
    def num_features(self) -> int:
        """Returns the number of features F; 0 before the processor is fitted."""
        return len(self.numbers) + sum(map(len, self.words.values()))

    def check(self, data: LabelledData) -> None:
        """Checks that every row of a split can be processed.

        Raises:
            ValueError: the split lacks a column, holds words instead of numbers or numbers instead of words, or
                has only categories in one that the training set lacks.
        """
        cells: TableCells = data.cells
        for column in self.numbers.keys() - set(cells.numeric):
            content = "words" if column in cells.words else "no such column"
            raise ValueError(f"column {column!r} held numbers in training, the {data.name} set has {content}")
        for column, categories in self.words.items():
            if column not in cells.words:
                content = "numbers" if column in cells.numeric else "no such column"
                raise ValueError(f"column {column!r} held words in training, the {data.name} set has {content}")
            cells_of_split = cells.words[column][data.rows]
            known = {word for word in cells_of_split if word is not None}
            if known and known.isdisjoint(categories):
                raise ValueError(
                    f"column {column!r} of the {data.name} set has none of the categories of training: it holds "
                    f"{listed(sorted(map(repr, known)), 3)}, training had {listed(list(map(repr, categories)), 3)}"
                )

    def __call__(
        self, rows: Row | Sequence[Row], return_tensors: str | TensorType | None = None, **kwargs: Any
    ) -> BatchFeature:
        """Computes ``input_features``, (B, F) float32.

        Args:
            rows: one row or a list of rows, each a mapping from column names to numbers and words; NaN or None
                for a missing cell.
            return_tensors: "pt", or "np" (the default).
            **kwargs: not used.

        Raises:
            ValueError: the processor is not fitted, or a row lacks a column or has a word in one of numbers.
        """
        if not self.num_features:
            raise ValueError("this TableProcessor is not fitted yet: TableProcessor.fit returns one that is")
        rows = [rows] if isinstance(rows, Mapping) else list(rows)
        try:
            numbers = np.array([[_as_number(row[c], c) for c in self.numbers] for row in rows], dtype=np.float64)
            words = [[(column, row[column]) for column in self.words] for row in rows]
        except KeyError as error:
            raise ValueError(f"a row has no column {error}: the model takes {self._columns()}") from error
        medians, means, stds = (
            np.array([statistics[key] for statistics in self.numbers.values()])
            for key in ("median", "mean", "std")
        )
        features = np.where(np.isnan(numbers), medians, numbers) - means
        features /= np.where(stds > 0, stds, 1.0)
        one_hot = [
            [float(_as_word(word) == category) for column, word in row for category in self.words[column]]
            for row in words
        ]
        features = np.concatenate([features, np.array(one_hot).reshape(len(rows), -1)], axis=1)
        return BatchFeature({"input_features": features.astype(np.float32)}, tensor_type=return_tensors)

    def _columns(self) -> str:
        columns = [*self.numbers, *self.words]
        return ", ".join(columns[:10]) + (f" and {len(columns) - 10} more" if len(columns) > 10 else "")


def _as_number(value: Any, column: str) -> float:
    if isinstance(value, str):
        raise ValueError(f"a row has {value!r} in column {column!r}, which held numbers in training")
    return np.nan if value is None else float(value)


def _as_word(value: Any) -> str | None:
    """Returns a cell of a column of words; a whole number as its digits, NaN as missing."""
    if value is None or isinstance(value, str):
        return value
    if value != value:
        return None
    return str(int(value)) if float(value).is_integer() else str(value)


def held_out_notes(processor: TableProcessor, data: LabelledData, name: str) -> list[str]:
    """Returns sentences on the cells of a split, called `name` in them, that tell the model nothing.

    Raises:
        ValueError: the processor cannot take the split, see `TableProcessor.check`.
    """
    processor.check(data)
    notes = [missing_cells(data, name), unseen_words(processor, data, name)]
    return [note for note in notes if note is not None]


def unseen_words(processor: TableProcessor, data: LabelledData, name: str) -> str | None:
    """Returns a sentence on the cells of a split with a category that training lacked; None if there is none."""
    unseen: dict[str, Counter[str]] = {}
    for column, categories in processor.words.items():
        known = set(categories)
        words = Counter(word for word in data.cells.words[column][data.rows] if word is not None)
        if others := Counter({word: count for word, count in words.items() if word not in known}):
            unseen[column] = others
    if not unseen:
        return None
    total = sum(others.total() for others in unseen.values())
    first = [f"{column} {word!r} {count}" for column, others in unseen.items() for word, count in others.items()]
    return (
        f"{total} cells of the {name} set hold a category that the training data lack ({listed(first)}): they "
        f"count as no category"
    )


def missing_cells(data: LabelledData, name: str) -> str | None:
    """Returns a sentence on the missing cells of a table, called `name` in it; None if none is missing."""
    cells: TableCells = data.cells
    missing = np.isnan(cells.numbers[data.rows]).sum(0)
    counts = {c: int(n) for c, n in zip(cells.numeric, missing, strict=True) if n}
    for column, values in cells.words.items():
        if count := sum(word is None for word in values[data.rows]):
            counts[column] = count
    if not counts:
        return None
    first = ", ".join(f"{column} {count}" for column, count in list(counts.items())[:5])
    more = f" and {len(counts) - 5} more columns" if len(counts) > 5 else ""
    total = len(data) * (len(cells.numeric) + len(cells.words))
    return (
        f"{sum(counts.values())} of {total} cells of the {name} set are missing ({first}{more}): numbers "
        f"become the training set's median, words no category"
    )
