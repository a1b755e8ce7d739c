"""A map-style data set of a split, each example augmented by its own random key."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.streamed import StreamedData
from hfmix.data.kinds import KINDS
from hfmix.data.labelled import LabelledData
from hfmix.utils.randomness import keyed_randomness


class Examples(Dataset):
    """A data set of a split's examples: the model's inputs by name, and ``labels``.

    What the transform draws depends only on the seed, the epoch and the example's row in its data set: not on the
    number of workers, the order, other examples, or on whether the run was stopped and resumed.

    Args:
        data: the split.
        transform: turns an image, a clip or a row into the model's inputs; it may draw from the generators of
            torch, Python and NumPy.
        seed: seed of its draws; None for a transform that draws nothing. Rows of a table, which are small, are
            then transformed once and kept.
    """

    takes_repeats = True  # position + r * N is the r-th repeat of a position within an epoch, augmented anew

    def __init__(
        self, data: LabelledData, transform: Callable[[Any], dict[str, Tensor]], seed: int | None = None
    ) -> None:
        self.data = data
        self.transform = transform
        self.seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # shared with persistent workers
        self._keeps = KINDS[data.kind].is_constant and seed is None
        self._kept: dict[str, Tensor] = {}
        self._is_kept = np.zeros(len(data), dtype=bool)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch before each pass; `MixTrainer` and accelerate's data loaders call it."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> dict[str, Any]:
        repeat, position = divmod(position, len(self)) if position >= len(self) else (0, position)
        label = self.data.labels[position]
        inputs = self._kept_inputs(position) if self._keeps else self._inputs(position, repeat)
        return {**inputs, "labels": torch.from_numpy(label) if self.data.is_multi_label else int(label)}

    def _inputs(self, position: int, repeat: int = 0) -> dict[str, Tensor]:
        example = self.data.example(position)
        if self.seed is None:
            return self.transform(example)
        key = (self.seed, int(self._epoch), int(self.data.rows[position]))
        with keyed_randomness(*key, *([repeat] if repeat else [])):
            return self.transform(example)

    def _kept_inputs(self, position: int) -> dict[str, Tensor]:
        if not self._is_kept[position]:
            for name, value in self._inputs(position).items():
                if name not in self._kept:
                    self._kept[name] = value.new_empty((len(self), *value.shape))
                self._kept[name][position] = value
            self._is_kept[position] = True
        return {name: rows[position] for name, rows in self._kept.items()}


def transform_for(
    data: LabelledData | StreamedData, processor: Any, augment: DataArguments | None = None
) -> Callable[[Any], dict[str, Tensor]]:
    """Returns the transform from a split's examples to a model's inputs, with the augmentation `augment`.

    `augment` is None for evaluation.

    Raises:
        ValueError: the augmentation is for another kind of input, or does not work with the processor.
    """
    return KINDS[data.kind].transform(processor, augment)
