"""The key from which all of a clip's random draws follow."""

from dataclasses import dataclass

import numpy as np
import torch

from hfmix.utils.keyed_noise import ImageKeys


@dataclass(frozen=True)
class SoundKey:
    """The key of one clip under one corruption.

    Args:
        seed: seed of the whole evaluation.
        index: index of the clip.
        name: name of the corruption.
        severity: 1 to 5.
    """

    seed: int
    index: int
    name: str
    severity: int

    def normal(self, *shape: int, part: str = "noise") -> np.ndarray:
        """Draws standard normal float64 of `shape`, independently for each `part`."""
        return self._keys(part).normal(shape)[0].double().numpy()

    def coin(self) -> bool:
        """Flips a fair coin: True for one clip in two."""
        return bool(self._keys("coin").uniform((1,)) < 0.5)

    def _keys(self, part: str) -> ImageKeys:
        name = f"{self.name}/{part}"
        return ImageKeys(self.seed, self.index, name, self.severity, 1, torch.device("cpu"))
