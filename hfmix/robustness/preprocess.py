"""A processor taken apart: resize and crop first, normalisation after, so that corruption can go between."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor


class Preprocessor:
    """The two halves of an image processor.

    Args:
        processor: any callable ``(images=..., return_tensors="pt")`` that gives ``pixel_values``. Where it tells
            its mean and standard deviation (timm's, transformers'), it can be taken apart.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.statistics = _statistics(processor)

    @property
    def separable(self) -> bool:
        """Whether normalisation can be undone; if not, corruption has to come before the processor."""
        return self.statistics is not None

    def pixel_values(self, images: list[Image.Image]) -> Tensor:
        """(B, C, H, W), the model's input, as the processor gives it."""
        return self.processor(images=images, return_tensors="pt")["pixel_values"]

    def levels(self, pixel_values: Tensor) -> Tensor:
        """(B, H, W, C) uint8: what the processor saw after resize and crop."""
        mean, std = (t.to(pixel_values.device) for t in self.statistics)
        return ((pixel_values * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def normalize(self, levels: Tensor) -> Tensor:
        """(B, C, H, W), the model's input, from (B, H, W, C) uint8."""
        mean, std = (t.to(levels.device) for t in self.statistics)
        return (levels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def _statistics(processor: Any) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation on [0, 1], each (C, 1, 1), or None where the processor does not tell."""
    if hasattr(processor, "data_config"):  # timm's
        mean, std = processor.data_config["mean"], processor.data_config["std"]
    elif getattr(processor, "do_rescale", False) and abs(getattr(processor, "rescale_factor", 0) * 255 - 1) < 1e-6:
        normalizes = getattr(processor, "do_normalize", False)
        mean, std = (processor.image_mean, processor.image_std) if normalizes else ([0.0] * 3, [1.0] * 3)
    else:
        return None
    return tuple(torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (mean, std))


def input_size(processor: Any) -> tuple[int, int]:
    """(height, width) of the images that the processor gives.

    Raises:
        ValueError: the processor does not tell.
    """
    if hasattr(processor, "data_config"):  # timm's
        return tuple(processor.data_config["input_size"][1:])
    for name in ("crop_size", "size"):
        size = getattr(processor, name, None)
        if name == "crop_size" and not getattr(processor, "do_center_crop", False):
            continue
        if size and "height" in size:
            return size["height"], size["width"]
        if size and "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
    raise ValueError(f"{type(processor).__name__} does not tell the size of its images: use augmentation none")
