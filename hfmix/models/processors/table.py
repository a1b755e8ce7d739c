"""The processor from a table's rows to a model's inputs, with the statistics of the training set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import TensorType

from hfmix.data.kinds.table import Row, TableCells
from hfmix.data.labelled import LabelledData

MAX_CATEGORIES = 100
"""Most distinct values a column of words may have; one with more is free text or names, not categories."""


class TableProcessor(FeatureExtractionMixin):
    """A processor of rows: standardised numbers, then a 0 or 1 for each category of each column of words.

    Features are in the order of the column names, not of the columns in the table.

    A missing number becomes the training set's median; a missing word has 0 for every category. Numbers are
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
                    f"than the {MAX_CATEGORIES} that are taken as categories: list the other columns in "
                    f"feature_column_names"
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
                has a category that the training set lacks.
        """
        cells: TableCells = data.cells
        for column in self.numbers.keys() - set(cells.numeric):
            content = "words" if column in cells.words else "no such column"
            raise ValueError(f"column {column!r} held numbers in training, the {data.name} set has {content}")
        for column, categories in self.words.items():
            if column not in cells.words:
                content = "numbers" if column in cells.numeric else "no such column"
                raise ValueError(f"column {column!r} held words in training, the {data.name} set has {content}")
            for row in data.rows:
                self._one_hot(column, categories, cells.words[column][row], f"{data.name} row {row}")

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
            ValueError: the processor is not fitted, or a row lacks a column or has an unknown category.
        """
        if not self.num_features:
            raise ValueError("this TableProcessor is not fitted yet: TableProcessor.fit returns one that is")
        rows = [rows] if isinstance(rows, Mapping) else list(rows)
        try:
            numbers = np.array([[row[column] for column in self.numbers] for row in rows], dtype=np.float64)
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
            [bit for column, word in row for bit in self._one_hot(column, self.words[column], word, "a row")]
            for row in words
        ]
        features = np.concatenate([features, np.array(one_hot).reshape(len(rows), -1)], axis=1)
        return BatchFeature({"input_features": features.astype(np.float32)}, tensor_type=return_tensors)

    def _columns(self) -> str:
        columns = [*self.numbers, *self.words]
        return ", ".join(columns[:10]) + (f" and {len(columns) - 10} more" if len(columns) > 10 else "")

    def _one_hot(self, column: str, categories: Sequence[str], word: str | None, where: str) -> list[float]:
        if word is not None and word not in categories:
            raise ValueError(
                f"{where} has {word!r} in column {column!r}, a category that the training data lacks, which "
                f"had {', '.join(categories[:10])}"
            )
        return [float(word == category) for category in categories]


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
