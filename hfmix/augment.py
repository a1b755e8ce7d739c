"""Training images changed at random, by a key: the same seed, epoch and example give the same change."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from hfmix.arguments import DataArguments
from hfmix.robustness.preprocess import Preprocessor, input_size


@contextmanager
def keyed_randomness(*key: int) -> Iterator[None]:
    """Within it, what torch (on the CPU), Python's `random` and NumPy's global generator draw follows from `key`.

    Transforms draw from these three and take no generator. All go on afterwards as if nothing had been drawn; only
    the second half of a pair of normal variates that NumPy's global generator had kept back is forgotten.
    """
    digest = hashlib.sha256(",".join(str(int(part)) for part in key).encode()).digest()
    seeds = [int.from_bytes(digest[start : start + 8], "little") for start in (0, 8, 16)]
    torch_state, python_state = torch.default_generator.get_state(), random.getstate()
    numpy_generator = np.random.get_bit_generator()  # exchanged: copying its state costs more than all the rest
    torch.default_generator.manual_seed(seeds[0])
    random.seed(seeds[1])
    np.random.set_bit_generator(np.random.PCG64(seeds[2]))
    try:
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        random.setstate(python_state)
        np.random.set_bit_generator(numpy_generator)


class ToPixels:
    """An image to the model's input (C, H, W): random crop and flip in training, then the processor's steps.

    An image that was cropped at random has the input's size and is only normalised, where the processor can be
    taken apart; resized and cropped once more it would lose its border.

    Args:
        processor: the model's.
        augment: what to do at random, drawn from the global generators; None for evaluation.
    """

    def __init__(self, processor: Any, augment: DataArguments | None = None) -> None:
        self.preprocessor = Preprocessor(processor)
        crops: list[v2.Transform] = []
        if augment is not None and augment.train_crop != "none":
            size = input_size(processor)
            if augment.train_crop == "pad":
                crops = [v2.Resize(size), v2.RandomCrop(size, padding=augment.crop_padding)]
            else:
                crops = [v2.RandomResizedCrop(size, scale=(0.25, 1.0))]
        flips = [v2.RandomHorizontalFlip()] if augment is not None and augment.horizontal_flip else []
        self.cropped = bool(crops)
        self.steps = v2.Compose([*crops, *flips]) if crops or flips else v2.Identity()

    def __call__(self, image: Image.Image) -> torch.Tensor:
        image = self.steps(image)
        if self.cropped and self.preprocessor.separable:
            return self.preprocessor.normalize(torch.from_numpy(np.array(image))[None])[0]
        return self.preprocessor.pixel_values([image])[0]
