"""Augmentation of images one by one: random crops, flips, RandAugment, random erasing and cutout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import RandAugment, rand_augment_ops, rand_augment_transform
from timm.data.random_erasing import RandomErasing
from torchvision.transforms import v2

from hfmix.data.arguments import IMAGE_AUGMENTATIONS, DataArguments
from hfmix.data.augment.batch import check_reflection, cut_out_
from hfmix.data.augment.randaugment import MAGNITUDE_MAX, OPERATIONS
from hfmix.data.kinds.image import ImagePreprocessor, input_size


class ToPixels:
    """The transform of an image to ``pixel_values``, (C, H, W): augmentation, then the processor's steps.

    A random crop has the size of the model's input already, so it is only normalised if the processor's halves
    can be separated; resizing and cropping it again would cut off its border.

    Args:
        processor: the model's processor.
        augment: the augmentation, drawn from the global generators; None for evaluation.

    Raises:
        ValueError: the augmentation is for sound, needs the size of the processor's images, which it does not
            state, or whole batches.
    """

    def __init__(self, processor: Any, augment: DataArguments | None = None) -> None:
        self.preprocessor = ImagePreprocessor(processor)
        kind = kind_of_augmentation(augment)
        crops = _crops(processor, augment) if kind != "none" else []
        steps: list[Callable] = [*crops]
        if kind != "none" and augment.alternating_flip:
            raise ValueError(
                "alternating_flip mirrors whole batches in memory, but these images are read one by one"
            )
        if kind != "none" and augment.horizontal_flip:
            steps.append(v2.RandomHorizontalFlip())
        if kind == "randaugment":
            steps.append(_randaugment(processor, self.preprocessor, augment))
        if kind == "randaugment_levels":
            steps.append(_randaugment_levels(augment))
        self.cropped = bool(crops)
        self.steps = steps
        self.erase = _erasing(augment) if kind == "randaugment" else None
        self.cutout = None if kind == "none" else augment.cutout

    def __call__(self, image: Image.Image) -> dict[str, torch.Tensor]:
        for step in self.steps:
            image = step(image)
        if self.cropped and self.preprocessor.separable:
            pixels = self.preprocessor.normalize(torch.from_numpy(np.array(image))[None])[0]
        else:
            pixels = self.preprocessor.pixel_values([image])[0]
        if self.cutout is not None:
            centre = torch.stack([torch.randint(extent, ()) for extent in pixels.shape[-2:]])
            pixels = cut_out_(pixels[None], centre[None], self.cutout)[0]
        return {"pixel_values": pixels if self.erase is None else self.erase(pixels)}


def kind_of_augmentation(augment: DataArguments | None) -> str:
    """Returns the name of the augmentation, one of `IMAGE_AUGMENTATIONS`; "none" in evaluation.

    Raises:
        ValueError: the augmentation is for sound.
    """
    kind = "none" if augment is None else augment.augmentation or "crop_flip"
    if kind not in IMAGE_AUGMENTATIONS:
        raise ValueError(f"augmentation {kind} is for sound; for images: {', '.join(IMAGE_AUGMENTATIONS)}")
    return kind


def _crops(processor: Any, augment: DataArguments) -> list[Callable]:
    if augment.train_crop == "none":
        return []
    size = input_size(processor)
    if augment.train_crop == "pad":
        if augment.crop_padding_mode == "reflect":
            check_reflection(size, augment.crop_padding)
        border = {"padding": augment.crop_padding, "padding_mode": augment.crop_padding_mode}
        return [v2.Resize(size), v2.RandomCrop(size, **border)]
    return [v2.RandomResizedCrop(size, scale=(augment.crop_scale, 1.0))]


def randaugment_magnitude(augment: DataArguments) -> float:
    """Returns the magnitude that is set, or timm's usual 9."""
    return 9 if augment.randaugment_magnitude is None else augment.randaugment_magnitude


def _randaugment_levels(augment: DataArguments) -> Callable:
    """Builds RandAugment of two operations that move no pixel, with the settings of `_randaugment`."""
    settings = {"magnitude_std": 0.5, "magnitude_max": MAGNITUDE_MAX}
    operations = rand_augment_ops(randaugment_magnitude(augment), hparams=settings, transforms=list(OPERATIONS))
    return RandAugment(operations, num_layers=2)


def _randaugment(processor: Any, preprocessor: ImagePreprocessor, augment: DataArguments) -> Callable:
    """Builds RandAugment of two operations of timm's increasing set, as `timm.data.create_transform` does."""
    settings: dict[str, Any] = {
        "translate_const": int(min(input_size(processor)) * 0.45),
        "interpolation": Image.Resampling.BILINEAR,
        "magnitude_max": MAGNITUDE_MAX,
    }
    if preprocessor.statistics is not None:  # fills the corners that rotating and shifting leave empty
        settings["img_mean"] = tuple(round(255 * mean) for mean in preprocessor.statistics[0].flatten().tolist())
    return rand_augment_transform(f"rand-m{randaugment_magnitude(augment)}-mstd0.5-inc1", settings)


def _erasing(augment: DataArguments) -> Callable:
    """Builds random erasing with boxes of noise on the normalised image, as in timm's training recipes."""
    probability = 0.25 if augment.erasing_probability is None else augment.erasing_probability
    return RandomErasing(probability, mode="pixel", device="cpu")
