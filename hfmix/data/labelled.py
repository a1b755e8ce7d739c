"""One split of a data set in memory: undecoded images, clips or rows, and their classes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hfmix.data.columns import Resolved
from hfmix.data.kinds.base import Cells
from hfmix.data.sources.opened import LeftOut
from hfmix.utils.text import listed


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
        are_numbers: whether the class names are whole numbers that the source holds.
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
    are_numbers: bool = False

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

        Names that all end in a full stop, as those of a test set at UCI do, are taken for the ones without.

        Raises:
            ValueError: an example has a class that is not among them.
        """
        position = {class_name: index for index, class_name in enumerate(class_names)}
        counts = self.class_counts()
        present = [(self.class_names[index], int(counts[index])) for index in np.flatnonzero(counts)]
        foreign = [(class_name, count) for class_name, count in present if class_name not in position]
        if note := _on_full_stops([class_name for class_name, _ in foreign], len(present), position, self.name):
            names = [class_name.removesuffix(".") for class_name in self.class_names]
            return replace(self, class_names=names, notes=(*self.notes, note)).with_classes(class_names)
        if foreign:
            raise ValueError(_unknown_classes(foreign, class_names, self.name))
        is_present = counts > 0
        if self.is_multi_label:
            labels = np.zeros((len(self), len(class_names)), dtype=np.float32)
            for index in np.flatnonzero(is_present):
                labels[:, position[self.class_names[index]]] = self.labels[:, index]
            return replace(self, labels=labels, class_names=list(class_names))
        index = np.array([position.get(class_name, -1) for class_name in self.class_names])
        true_labels = None if self.true_labels is None else index[self.true_labels]
        return replace(self, labels=index[self.labels], class_names=list(class_names), true_labels=true_labels)

    def class_counts(self) -> np.ndarray:
        """Counts the examples of each class, (C,)."""
        if self.is_multi_label:
            return self.labels.sum(0, dtype=np.float64).astype(np.int64)
        return np.bincount(self.labels, minlength=len(self.class_names))

    def by_value(self, num_classes: int = 0) -> "LabelledData":
        """Takes classes that are whole numbers for the indices of a model's outputs that they are.

        There are then `num_classes` classes, or more if a number requires it. Other classes stay as they are; so
        do a table's numbers that do not begin with 0, which are only names.

        Raises:
            ValueError: a number is negative or above a million: neither is an index.
        """
        numbers = [int(class_name) for class_name in self.class_names] if self.are_numbers else []
        if not numbers or (self.kind == "table" and numbers[0] != 0):
            return self
        if numbers[0] < 0 or numbers[-1] > 10**6:
            raise ValueError(
                f"the {self.name} set has the classes {listed(numbers)}, which are neither the model's class "
                f"names nor indices of its outputs"
            )
        return self.with_classes([str(number) for number in range(max(numbers[-1] + 1, num_classes))])

    def present_classes(self) -> set[str]:
        """Returns the names of the classes that have an example."""
        return {self.class_names[index] for index in np.flatnonzero(self.class_counts())}

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

    def sample(self, count: int | None, seed: int) -> "LabelledData":
        """Draws `count` examples at random by `seed`, in their order; all if `count` is None or not smaller."""
        if count is None or count >= len(self):
            return self
        return self.select(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))


def _unknown_classes(foreign: Sequence[tuple[str, int]], known: Sequence[str], name: str) -> str:
    counts = [f"{class_name} ({count} example{'s' if count > 1 else ''})" for class_name, count in foreign]
    by_fold = {folded(class_name): class_name for class_name in known}
    alike = [(n, by_fold[folded(n)]) for n, _ in foreign if folded(n) in by_fold]
    hint = f"; {alike[0][0]!r} differs from {alike[0][1]!r} only in case or blanks" if alike else ""
    return (
        f"the {name} set has unknown classes: {listed(counts)}, which are not among {listed(known, 10)}{hint}: "
        f"leave these examples out, or give the model some to learn from"
    )


def _on_full_stops(foreign: Sequence[str], num_present: int, known: Collection[str], name: str) -> str | None:
    """Returns a note if every class of a set is a known one with a full stop behind it; else None."""
    if (
        not foreign
        or len(foreign) < num_present
        or not all(n.endswith(".") and n.removesuffix(".") in known for n in foreign)
    ):
        return None
    pairs = [f"{class_name!r} for {class_name.removesuffix('.')!r}" for class_name in foreign]
    return f"classes of the {name} set are taken without their full stop: {listed(pairs)}"


def folded(class_name: str) -> str:
    """Returns a class name without the differences that may be slips: case and blanks."""
    return " ".join(class_name.split()).casefold()
