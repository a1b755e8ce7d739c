"""One split of a data set: images, clips or rows, decoded when they are asked for, and a class for each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hfmix.data.kinds.base import Cells


@dataclass(frozen=True, eq=False)
class LabelledData:
    """One split: inputs as they are stored, class indices, and the names of the classes.

    Attributes:
        cells: the inputs of the whole data set.
        rows: (N,) the rows of `cells` that belong to the split.
        labels: (N,) class indices, to train on; where an example can have several, (N, C) float32 zeros and ones.
        class_names: in the order of the indices.
        name: where the rows come from, for messages.
        true_labels: (N,) class indices before label noise; None where there is none.
    """

    cells: Cells
    rows: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    name: str
    true_labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_multi_label(self) -> bool:
        """Whether an example has any number of classes, not one."""
        return self.labels.ndim == 2

    @property
    def kind(self) -> str:
        """ "image", "audio" or "table"."""
        return self.cells.kind

    def example(self, position: int) -> Any:
        """An input, decoded: a PIL image in RGB, a `Sound`, or a table's row.

        Raises:
            ValueError: it cannot be read; the row is named.
        """
        row = int(self.rows[position])
        return self.cells.read(row, f"{self.name} row {row}")

    def stored(self, positions: Sequence[int]) -> list[Any]:
        """Returns the inputs at these positions, not decoded."""
        return self.cells.stored(self.rows[np.asarray(positions)].tolist())

    def select(self, positions: np.ndarray) -> "LabelledData":
        """The same data reduced to these positions, in this order."""
        true_labels = None if self.true_labels is None else self.true_labels[positions]
        return replace(self, rows=self.rows[positions], labels=self.labels[positions], true_labels=true_labels)

    def with_classes(self, class_names: Sequence[str]) -> "LabelledData":
        """The same inputs with the indices that `class_names` gives to their classes, matched by name.

        Raises:
            ValueError: an input is of a class that is not among them.
        """
        position = {class_name: index for index, class_name in enumerate(class_names)}
        is_present = self.labels.any(0) if self.is_multi_label else np.bincount(self.labels, minlength=1) > 0
        present = {self.class_names[index] for index in np.flatnonzero(is_present)}
        if foreign := sorted(present - set(position)):
            raise ValueError(f"the {self.name} set has classes that are not known: {', '.join(foreign[:5])}")
        if self.is_multi_label:
            labels = np.zeros((len(self), len(class_names)), dtype=np.float32)
            for index in np.flatnonzero(is_present):
                labels[:, position[self.class_names[index]]] = self.labels[:, index]
            return replace(self, labels=labels, class_names=list(class_names))
        index = np.array([position.get(class_name, -1) for class_name in self.class_names])
        true_labels = None if self.true_labels is None else index[self.true_labels]
        return replace(self, labels=index[self.labels], class_names=list(class_names), true_labels=true_labels)

    def with_label_noise(self, probability: float, seed: int) -> "LabelledData":
        """Symmetric label noise: each label gives way, with this probability, to one of the other classes.

        All other classes are equally likely, so that a label which is drawn is always wrong. (Replacing a share p
        by a class drawn from all C, the true one among them, is this noise with p·(C − 1)/C.) What happens to an
        input follows from `seed` and its row in the data set alone, whatever the split's order or other inputs;
        what a smaller probability changes, a larger one changes to the same class.

        Raises:
            ValueError: there is noise on the labels already, a single class, or an example has several.
        """
        if self.is_multi_label:
            raise ValueError(
                "label_noise replaces the one class of an example, and these have several: leave it out"
            )
        if self.true_labels is not None:
            raise ValueError("the labels have noise already")
        if len(self.class_names) < 2:
            raise ValueError("label noise needs two classes or more")
        draws = np.random.default_rng(seed).random((len(self.cells), 2))[self.rows]
        shift = 1 + (draws[:, 1] * (len(self.class_names) - 1)).astype(np.int64)
        wrong = (self.labels + shift) % len(self.class_names)
        labels = np.where(draws[:, 0] < probability, wrong, self.labels)
        return replace(self, labels=labels, true_labels=self.labels)

    @property
    def num_changed_labels(self) -> int:
        """How many labels are wrong through label noise."""
        return 0 if self.true_labels is None else int((self.labels != self.true_labels).sum())

    def readable(self) -> "LabelledData":
        """The same data without the examples that cannot be read; every one is decoded to find out."""

        def can_be_read(position: int) -> bool:
            try:
                self.example(position)
            except ValueError:
                return False
            return True

        return self.select(np.array([i for i in range(len(self)) if can_be_read(i)], dtype=np.int64))

    def sample(self, count: int | None, seed: int) -> "LabelledData":
        """`count` examples drawn at random by `seed` (None, or as many as there are: all, in order)."""
        if count is None or count >= len(self):
            return self
        return self.select(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))
