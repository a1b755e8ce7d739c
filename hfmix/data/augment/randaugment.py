"""RandAugment on whole batches, of the operations that change levels and leave every pixel in its place."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmix.data.augment import pillow_ops as operations
from hfmix.data.augment.pillow_ops import look_up
from hfmix.utils.randomness import hashed_uniforms

MAGNITUDE_MAX = 9.99  # timm's own 10 can keep 0 bits of a colour, which Pillow 13 refuses
_STD, _PROBABILITY = 0.5, 0.5  # timm's mstd0.5, and how often a layer's operation is applied
_STREAM = 0x1E7E15  # sets these draws apart from those of `ShiftFlipCut` for the same seed and epoch
_FACTORS = 4  # uniform variates a layer: which operation, whether, how strong, and which way


@dataclass(frozen=True)
class BatchRandAugment:
    """One batch's draw for RandAugment (arXiv 1909.13719) in timm's form, of L layers.

    Attributes:
        operation: (B, L) int64, a place in `OPERATIONS`.
        applied: (B, L) bool, whether the layer does anything; every second does.
        magnitude: (B, L) float64, from 0 to `MAGNITUDE_MAX`.
        weaker: (B, L) bool, which way an enhancement goes: less colour, contrast, ... or more.
    """

    operation: Tensor
    applied: Tensor
    magnitude: Tensor
    weaker: Tensor

    @classmethod
    def sample(
        cls, rows: np.ndarray, seed: int, epoch: int, magnitude: float = 9, num_layers: int = 2
    ) -> "BatchRandAugment":
        """Drawn as for timm's ``rand-m{magnitude}-mstd0.5-inc1``, by (seed, epoch, each image's row) alone.

        A layer's operation is drawn evenly, the same may come twice; its magnitude is normal about `magnitude`.
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
        """(B, H, W, C) uint8 of the same shape: the images that share an operation are changed together."""
        for layer in range(self.operation.shape[1]):
            operation = self.operation[:, layer].where(self.applied[:, layer], len(OPERATIONS))
            sizes = torch.bincount(operation, minlength=len(OPERATIONS) + 1).tolist()
            order = operation.argsort()
            drawn = self.magnitude[order, layer].split(sizes), self.weaker[order, layer].split(sizes)
            levels = _changed(levels.index_select(0, order.to(levels.device)), sizes, *drawn)
            levels = levels.index_select(0, order.argsort().to(levels.device))
        return levels


def _changed(levels: Tensor, sizes: list[int], *drawn: tuple[Tensor, ...]) -> Tensor:
    """Images that are sorted by operation, `sizes` of each and the last left alone; `drawn` for each group."""
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


# timm's name: the operation, and how its argument follows from magnitude and direction (as in timm's LEVEL_TO_ARG)
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
