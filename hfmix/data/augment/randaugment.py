"""RandAugment for whole batches, with the operations that change levels and move no pixel."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmix.data.augment import pillow_ops as operations
from hfmix.data.augment.pillow_ops import look_up
from hfmix.utils.randomness import hashed_uniforms

MAGNITUDE_MAX = 9.99  # timm's own 10 can keep 0 bits of a colour, which Pillow 13 refuses
_STD, _PROBABILITY = 0.5, 0.5  # timm's mstd0.5, and the probability that a layer applies its operation
_STREAM = 0x1E7E15  # sets these draws apart from those of `ShiftFlipCut` for the same seed and epoch
_FACTORS = 4  # uniform variates per layer: operation, whether it is applied, magnitude, direction


@dataclass(frozen=True)
class BatchRandAugment:
    """A batch's draw for RandAugment (arXiv 1909.13719) in timm's form, with L layers.

    Attributes:
        operation: (B, L) int64, an index into `OPERATIONS`.
        applied: (B, L) bool, whether the layer's operation is applied (probability 0.5).
        magnitude: (B, L) float64, from 0 to `MAGNITUDE_MAX`.
        weaker: (B, L) bool, the direction of an enhancement: True for less colour, contrast, …, False for more.
    """

    operation: Tensor
    applied: Tensor
    magnitude: Tensor
    weaker: Tensor

    @classmethod
    def sample(
        cls, rows: np.ndarray, seed: int, epoch: int, magnitude: float = 9, num_layers: int = 2
    ) -> "BatchRandAugment":
        """Draws as timm's ``rand-m{magnitude}-mstd0.5-inc1`` does, each image by (seed, epoch, its row) alone.

        A layer's operation is uniform, with replacement; its magnitude is normal with mean `magnitude`.
        """
        uniform = hashed_uniforms(_FACTORS * num_layers, np.asarray(rows), seed, epoch, _STREAM)
        which, whether, strength, way = torch.from_numpy(uniform).reshape(-1, num_layers, _FACTORS).unbind(-1)
        drawn = magnitude + _STD * torch.special.ndtri(strength)
        return cls(
            operation=(which * len(OPERATIONS)).long(),
            applied=whether < _PROBABILITY,
            magnitude=drawn.clamp(0, MAGNITUDE_MAX),
            weaker=way < 0.5,
        )

    def apply(self, levels: Tensor) -> Tensor:
        """Applies the draw to (B, H, W, C) uint8; images with the same operation are changed together."""
        for layer in range(self.operation.shape[1]):
            operation = self.operation[:, layer].where(self.applied[:, layer], len(OPERATIONS))
            sizes = torch.bincount(operation, minlength=len(OPERATIONS) + 1).tolist()
            order = operation.argsort()
            drawn = self.magnitude[order, layer].split(sizes), self.weaker[order, layer].split(sizes)
            levels = _changed(levels.index_select(0, order.to(levels.device)), sizes, *drawn)
            levels = levels.index_select(0, order.argsort().to(levels.device))
        return levels


def _changed(levels: Tensor, sizes: list[int], *drawn: tuple[Tensor, ...]) -> Tensor:
    """Changes images that are sorted by operation, `sizes` for each and the last group left as it is."""
    *groups, alone = levels.split(sizes)
    results = []
    for (change, argument), group, magnitude, weaker in zip(OPERATIONS.values(), groups, *drawn, strict=False):
        arguments = () if argument is None else (argument(magnitude, weaker).to(levels.device),)
        results.append(change(group, *arguments))
    tables, blends = results[: len(TABLES)], results[len(TABLES) :]
    table = torch.cat([table.expand(-1, levels.shape[-1], -1) for table in tables])
    return torch.cat([look_up(levels[: len(table)], table), *blends, alone])


def _bits(magnitude: Tensor, _: Tensor) -> Tensor:
    return 4 - (magnitude / 10 * 4).long()


def _threshold(magnitude: Tensor, _: Tensor) -> Tensor:
    return 256 - (magnitude / 10 * 256).long()


def _added(magnitude: Tensor, _: Tensor) -> Tensor:
    return (magnitude / 10 * 110).long()


def _factor(magnitude: Tensor, weaker: Tensor) -> Tensor:
    level = magnitude / 10 * 0.9
    return (1 + torch.where(weaker, -level, level)).clamp(min=0.1)


# by timm's name: the operation, and its argument as a function of magnitude and direction (timm's LEVEL_TO_ARG)
Operation = tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor] | None]
TABLES: dict[str, Operation] = {
    "AutoContrast": (operations.auto_contrast, None),
    "Equalize": (operations.equalize, None),
    "Invert": (operations.invert, None),
    "PosterizeIncreasing": (operations.posterize, _bits),
    "SolarizeIncreasing": (operations.solarize, _threshold),
    "SolarizeAdd": (operations.solarize_add, _added),
    "ContrastIncreasing": (operations.contrast, _factor),
    "BrightnessIncreasing": (operations.brightness, _factor),
}
BLENDS: dict[str, Operation] = {
    "ColorIncreasing": (operations.color, _factor),
    "SharpnessIncreasing": (operations.sharpness, _factor),
}
OPERATIONS = TABLES | BLENDS
