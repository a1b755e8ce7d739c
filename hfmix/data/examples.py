"""A split as the Trainer takes it, each example changed at random by its own key."""

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from hfmix.data.augment import keyed_randomness
from hfmix.data.labelled import LabelledImages


class ImageExamples(Dataset):
    """Example i is ``{"pixel_values": transform(image), "labels": index}``.

    What the transform draws depends on the seed, the epoch and the image's row in its data set, and on nothing
    else: not on the number of workers, the order, the other examples, or whether the run was stopped and resumed.

    Args:
        images: the split.
        transform: an image to the model's input; it may draw from torch's, Python's and NumPy's generators.
        seed: of what it draws; None for a transform that draws nothing.
    """

    def __init__(
        self, images: LabelledImages, transform: Callable[[Image.Image], torch.Tensor], seed: int | None = None
    ) -> None:
        self.images = images
        self.transform = transform
        self.seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that live on see it change

    def set_epoch(self, epoch: int) -> None:
        """To be called before each pass; `MixTrainer` and accelerate's data loaders do it."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> dict[str, Any]:
        image, label = self.images.image(position), self.images.labels[position]
        if self.seed is None:
            pixel_values = self.transform(image)
        else:
            with keyed_randomness(self.seed, int(self._epoch), int(self.images.rows[position])):
                pixel_values = self.transform(image)
        return {"pixel_values": pixel_values, "labels": int(label)}
