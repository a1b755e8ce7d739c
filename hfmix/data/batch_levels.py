"""RandAugment on whole batches, of the operations that change levels and leave every pixel in its place."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmix.data import level_operations as change
from hfmix.mixing.randomness import hashed_uniforms

MAGNITUDE_MAX = 9.99  # timm's own 10 can keep 0 bits of a colour, which Pillow 13 refuses
_STD, _PROBABILITY = 0.5, 0.5  # timm's mstd0.5, and how often a layer's operation is applied
_STREAM = 0x1E7E15  # sets these draws apart from those of `ShiftFlipCut` for the same seed and epoch
_FACTORS = 4  # uniform variates a layer: which operation, whether, how strong, and which way


def _bits(magnitude: Tensor, _: Tensor) -> Tensor:
    return 4 - (magnitude / 10 * 4).long()


def _threshold(magnitude: Tensor, _: Tensor) -> Tensor:
    return 256 - (magnitude / 10 * 256).long()


def _added(magnitude: Tensor, _: Tensor) -> Tensor:
    return (magnitude / 10 * 110).long()


def _factor(magnitude: Tensor, weaker: Tensor) -> Tensor:
    level = magnitude / 10 * 0.9
    return (1 + torch.where(weaker, -level, level)).clamp(min=0.1)


# timm's name: the change, and how it takes its argument from the magnitude and the direction (as timm's LEVEL_TO_ARG)
OPERATIONS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor] | None]] = {
    "AutoContrast": (change.auto_contrast, None),
    "Equalize": (change.equalize, None),
    "Invert": (change.invert, None),
    "PosterizeIncreasing": (change.posterize, _bits),
    "SolarizeIncreasing": (change.solarize, _threshold),
    "SolarizeAdd": (change.solarize_add, _added),
    "ColorIncreasing": (change.color, _factor),
    "ContrastIncreasing": (change.contrast, _factor),
    "BrightnessIncreasing": (change.brightness, _factor),
    "SharpnessIncreasing": (change.sharpness, _factor),
}


@dataclass(frozen=True)
class LevelOps:
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
    ) -> "LevelOps":
        """Drawn as timm's ``rand-m{magnitude}-mstd0.5-inc1``; what an image gets follows from (seed, epoch, its row).

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
        levels = levels.clone()
        for layer in range(self.operation.shape[1]):
            operation = self.operation[:, layer].where(self.applied[:, layer], -1)
            for place, (changed, argument) in enumerate(OPERATIONS.values()):
                members = (operation == place).nonzero()[:, 0]
                if not len(members):
                    continue
                drawn = self.magnitude[members, layer], self.weaker[members, layer]
                arguments = () if argument is None else (argument(*drawn).to(levels.device),)
                members = members.to(levels.device)
                levels.index_copy_(0, members, changed(levels.index_select(0, members), *arguments))
        return levels
