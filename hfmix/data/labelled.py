"""One split of a data set in memory: undecoded images, clips or rows, and their classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hfmix.data.columns import Resolved
from hfmix.data.kinds.base import Cells
from hfmix.data.sources.opened import LeftOut


@dataclass(frozen=True, eq=False)
class LabelledData:
    """One split: inputs as they are stored, class indices, and class names.

    Attributes:
        cells: the inputs of the whole data set.
        rows: (N,) the rows of `cells` that belong to the split.
        labels: (N,) class indices to train on; (N, C) float32 zeros and ones if examples can have several classes.
        class_names: the class names, in the order of the indices.
        name: the split's name in messages.
        true_labels: (N,) class indices before label noise; None without label noise.
        columns: the columns that were read; None for data that were not read from columns.
        origin: where the split came from, in words; empty if it is the source's own.
        left_out: what its source holds that is in no split, on the split that was read first.
        notes: what was guessed, skipped or changed in reading it, in one sentence each.
    """

    cells: Cells
    rows: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    name: str
    true_labels: np.ndarray | None = None
    columns: Resolved | None = None
    origin: str = ""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_multi_label(self) -> bool:
        """Tells whether an example can have any number of classes instead of exactly one."""
        return self.labels.ndim == 2

    @property
    def kind(self) -> str:
        """Returns the kind of input: "image", "audio" or "table"."""
        return self.cells.kind

    def example(self, position: int) -> Any:
        """Decodes one input: a PIL image in RGB, a `Sound`, or a table's row.

        Raises:
            ValueError: it cannot be read; the message names the row.
        """
        row = int(self.rows[position])
        return self.cells.read(row, f"{self.name} row {row}")

    def place(self, position: int) -> str:
        """Returns the row of an example, with its file where it has one, for messages."""
        (cell,) = self.stored([position])
        path = cell.get("path") if self.kind != "table" and cell else None
        return f"{self.name} row {self.rows[position]}" + (f" ({path})" if path else "")

    def stored(self, positions: Sequence[int]) -> list[Any]:
        """Returns the inputs at these positions, not decoded."""
        return self.cells.stored(self.rows[np.asarray(positions)].tolist())

    def select(self, positions: np.ndarray) -> "LabelledData":
        """Returns the examples at these positions, in this order."""
        true_labels = None if self.true_labels is None else self.true_labels[positions]
        return replace(self, rows=self.rows[positions], labels=self.labels[positions], true_labels=true_labels)

    def with_classes(self, class_names: Sequence[str]) -> "LabelledData":
        """Renumbers the labels by the order of `class_names`, matching classes by name.

        Raises:
            ValueError: an example has a class that is not among them.
        """
        position = {class_name: index for index, class_name in enumerate(class_names)}
        is_present = self.labels.any(0) if self.is_multi_label else np.bincount(self.labels, minlength=1) > 0
        present = {self.class_names[index] for index in np.flatnonzero(is_present)}
        if foreign := sorted(present - set(position)):
            raise ValueError(f"the {self.name} set has unknown classes: {', '.join(foreign[:5])}")
        if self.is_multi_label:
            labels = np.zeros((len(self), len(class_names)), dtype=np.float32)
            for index in np.flatnonzero(is_present):
                labels[:, position[self.class_names[index]]] = self.labels[:, index]
            return replace(self, labels=labels, class_names=list(class_names))
        index = np.array([position.get(class_name, -1) for class_name in self.class_names])
        true_labels = None if self.true_labels is None else index[self.true_labels]
        return replace(self, labels=index[self.labels], class_names=list(class_names), true_labels=true_labels)

    def with_label_noise(self, probability: float, seed: int) -> "LabelledData":
        """Adds symmetric label noise: replaces each label, with this probability, by one of the other classes.

        The other classes are equally likely, so a drawn label is always wrong. (Replacing a share p by a class
        drawn from all C, the true one included, is this noise with p·(C − 1)/C.) What happens to an example
        depends only on `seed` and its row in the data set, not on the order of the split or on other examples;
        labels that a smaller probability changes, a larger one changes to the same class.

        Raises:
            ValueError: the labels have noise already, there is only one class, or examples can have several.
        """
        if self.is_multi_label:
            raise ValueError(
                "label_noise replaces the only class of an example, and these can have several: leave it out"
            )
        if self.true_labels is not None:
            raise ValueError("the labels have noise already")
        if len(self.class_names) < 2:
            raise ValueError("label noise needs at least two classes")
        draws = np.random.default_rng(seed).random((len(self.cells), 2))[self.rows]
        shift = 1 + (draws[:, 1] * (len(self.class_names) - 1)).astype(np.int64)
        wrong = (self.labels + shift) % len(self.class_names)
        labels = np.where(draws[:, 0] < probability, wrong, self.labels)
        return replace(self, labels=labels, true_labels=self.labels)

    @property
    def num_changed_labels(self) -> int:
        """Counts the labels that label noise changed."""
        return 0 if self.true_labels is None else int((self.labels != self.true_labels).sum())

    def readable(self, min_seconds: float | None = None) -> "LabelledData":
        """Returns the examples that can be read; decodes every one to find out.

        Clips shorter than `min_seconds`, the model's window, are left out too.
        """

        def can_be_read(position: int) -> bool:
            try:
                example = self.example(position)
            except ValueError:
                return False
            return min_seconds is None or len(example.samples) >= min_seconds * example.sampling_rate

        return self.select(np.array([i for i in range(len(self)) if can_be_read(i)], dtype=np.int64))

    def sample(self, count: int | None, seed: int) -> "LabelledData":
        """Draws `count` examples at random by `seed`, in their order; all if `count` is None or not smaller."""
        if count is None or count >= len(self):
            return self
        return self.select(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))
