"""A sampler that draws every class equally often."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from hfmix.training.class_weights import training_labels
from hfmix.utils.randomness import keyed_generator


class BalancedSampler(Sampler[int]):
    """A sampler in which each draw is of each class with the same probability, with replacement.

    A draw takes a class, uniformly among those that have examples, and then one of its examples, uniformly. An
    epoch has as many draws as there are examples, and depends only on (seed, epoch): processes that share its
    batches, and a run that resumes, see the same ones.

    Where an example is drawn again within an epoch, a data set with ``takes_repeats`` is told so, to augment it
    differently: the position of the r-th repeat is ``position + r * N``.

    Args:
        labels: (N,) class indices.
        seed: seed of the draws.
        marks_repeats: whether the data set has ``takes_repeats``.

    Raises:
        ValueError: there are no examples, or the labels are not one class an example.
    """

    def __init__(self, labels: Any, seed: int, marks_repeats: bool = False) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "sampler balanced draws classes of which each example has one, and these can have several: leave "
                "it out; pos_weight balanced makes up for rare classes"
            )
        if not len(labels):
            raise ValueError("sampler balanced has no examples to draw")
        self.seed, self.epoch, self.marks_repeats = seed, 0, marks_repeats
        # positions class by class, and where each class begins
        self._positions = np.argsort(labels, kind="stable")
        _, self._starts, self._counts = np.unique(labels[self._positions], return_index=True, return_counts=True)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch before each pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw(self.epoch).tolist())

    def draw(self, epoch: int) -> np.ndarray:
        """Returns the positions of an epoch, (N,) int64."""
        generator = keyed_generator(self.seed, epoch)
        uniform = torch.rand(2, len(self), generator=generator, dtype=torch.float64).numpy()
        drawn_class = (uniform[0] * len(self._counts)).astype(np.int64)
        within = (uniform[1] * self._counts[drawn_class]).astype(np.int64)
        positions = self._positions[self._starts[drawn_class] + within]
        return positions + len(self) * _repeats(positions) if self.marks_repeats else positions


def balanced_sampler(dataset: Any, label_name: str, args: Any) -> BalancedSampler:
    """Returns the balanced sampler of a data set, with the seed of the arguments' data order.

    Raises:
        ValueError: the labels cannot be found, or are several an example.
    """
    labels = training_labels(dataset, label_name, "sampler balanced")
    seed = args.seed if args.data_seed is None else args.data_seed
    return BalancedSampler(labels, seed, getattr(dataset, "takes_repeats", False))


def _repeats(positions: np.ndarray) -> np.ndarray:
    """Counts how often each position came before."""
    order = np.argsort(positions, kind="stable")
    _, starts, counts = np.unique(positions[order], return_index=True, return_counts=True)
    repeats = np.empty(len(positions), dtype=np.int64)
    repeats[order] = np.arange(len(positions)) - np.repeat(starts, counts)
    return repeats
