"""A split as the Trainer takes it, each example changed at random by its own key."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hfmix.arguments import DataArguments
from hfmix.data.augment import ToPixels, keyed_randomness
from hfmix.data.augment_sound import ToFeatures
from hfmix.data.labelled import LabelledData
from hfmix.data.preprocess import TablePreprocessor
from hfmix.data.streams import StreamedData


class Examples(Dataset):
    """Example i is what the transform makes of it, the model's inputs by name, and its ``labels``.

    What the transform draws depends on the seed, the epoch and the example's row in its data set, and on nothing
    else: not on the number of workers, the order, the other examples, or whether the run was stopped and resumed.

    Args:
        data: the split.
        transform: an image, a clip or a row to the model's inputs; it may draw from torch's, Python's and NumPy's
            generators.
        seed: of what it draws; None for a transform that draws nothing.
    """

    def __init__(
        self, data: LabelledData, transform: Callable[[Any], dict[str, Tensor]], seed: int | None = None
    ) -> None:
        self.data = data
        self.transform = transform
        self.seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that live on see it change

    def set_epoch(self, epoch: int) -> None:
        """To be called before each pass; `MixTrainer` and accelerate's data loaders do it."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> dict[str, Any]:
        example, label = self.data.example(position), self.data.labels[position]
        if self.seed is None:
            inputs = self.transform(example)
        else:
            with keyed_randomness(self.seed, int(self._epoch), int(self.data.rows[position])):
                inputs = self.transform(example)
        return {**inputs, "labels": torch.from_numpy(label) if self.data.is_multi_label else int(label)}


def transform_for(
    data: LabelledData | StreamedData, processor: Any, augment: DataArguments | None = None
) -> Callable[[Any], dict[str, Tensor]]:
    """What makes a model's inputs of the examples, changed at random as `augment` says; None for evaluation."""
    if data.kind == "table":
        if augment is not None and augment.augmentation not in (None, "none"):
            raise ValueError(f"augmentation {augment.augmentation} is not for tables: leave it out")
        return TablePreprocessor(processor).features
    return (ToFeatures if data.kind == "audio" else ToPixels)(processor, augment)
