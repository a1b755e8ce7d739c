"""What makes a model's inputs of a table's rows, with the training set's statistics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import TensorType

from hfmix.data.kinds.table import Row, TableCells
from hfmix.data.labelled import LabelledData

MAX_CATEGORIES = 100
"""Of a column of words; one with more is free text or names, of which a model of numbers learns nothing."""


class TableProcessor(FeatureExtractionMixin):
    """Rows to standardised features: the numbers, then a 0 or 1 for each category of each column of words.

    Columns are in the order of their names, whatever theirs in the table.

    A missing number becomes the training set's median, a missing word has 0 for every category. Numbers are
    shifted and scaled by the mean and the standard deviation of the training set, its missing cells filled; a
    column that is constant there is shifted alone. Columns that it does not know are ignored.

    Args:
        numbers: by name of the column, ``{"median": …, "mean": …, "std": …}``; `fit` computes them.
        words: by name of the column, the categories of the training set.
    """

    model_input_names = ("input_features",)

    def __init__(
        self,
        numbers: Mapping[str, Mapping[str, float]] | None = None,
        words: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # by name, for so a saved file has them
        self.numbers = {column: dict(statistics) for column, statistics in sorted((numbers or {}).items())}
        self.words = {column: list(categories) for column, categories in sorted((words or {}).items())}

    @classmethod
    def fit(cls, data: LabelledData) -> "TableProcessor":
        """The statistics of a training set.

        Raises:
            ValueError: it has no column to learn from, or one with too many different words.
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
                    f"column {column!r} of the {data.name} set has {len(categories)} different words, at most "
                    f"{MAX_CATEGORIES} are categories: name the others in feature_column_names"
                )
        if not cells.numeric and not words:
            raise ValueError(f"the {data.name} set has no column to learn from beside the classes")
        return cls(
            {
                column: dict(zip(("median", "mean", "std"), found, strict=True))
                for column, found in zip(cells.numeric, statistics, strict=True)
            },
            words,
        )

    @property
    def num_features(self) -> int:
        """F, of what it gives; 0 before it is fitted."""
        return len(self.numbers) + sum(map(len, self.words.values()))

    def check(self, data: LabelledData) -> None:
        """Finds what would stop it half way.

        Raises:
            ValueError: the set lacks a column, holds words where there were numbers or the other way round, or a
                category that the training set lacks.
        """
        cells: TableCells = data.cells
        for column in self.numbers.keys() - set(cells.numeric):
            found = "words" if column in cells.words else "no such column"
            raise ValueError(f"column {column!r} held numbers in training, the {data.name} set has {found}")
        for column, categories in self.words.items():
            if column not in cells.words:
                found = "numbers" if column in cells.numeric else "no such column"
                raise ValueError(f"column {column!r} held words in training, the {data.name} set has {found}")
            for row in data.rows:
                self._one_hot(column, categories, cells.words[column][row], f"{data.name} row {row}")

    def __call__(
        self, rows: Row | Sequence[Row], return_tensors: str | TensorType | None = None, **kwargs: Any
    ) -> BatchFeature:
        """``input_features``, (B, F) float32.

        Args:
            rows: one row or a list of rows, each a mapping from columns to numbers and words; NaN or None for a
                missing cell.
            return_tensors: "pt", or "np" (the default).
            **kwargs: not used.

        Raises:
            ValueError: it is not fitted, a row lacks a column, or has a category that the training set lacked.
        """
        if not self.num_features:
            raise ValueError("this TableProcessor knows no columns yet: TableProcessor.fit gives one that does")
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
                f"{where} has {word!r} in column {column!r}, a category that the training data lacks: it had "
                f"{', '.join(categories[:10])}"
            )
        return [float(word == category) for category in categories]


def missing_cells(data: LabelledData, name: str) -> str | None:
    """What is missing in a table, in a sentence that calls it by `name`; None where nothing is."""
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
