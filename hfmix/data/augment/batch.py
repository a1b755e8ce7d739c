"""Shift, flip and cutout for whole batches of images, each image drawn by its own key."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmix.utils.randomness import hashed_uniforms

_FACTORS = 5  # uniform variates an image: two of the shift, one of the flip, two of the cut


@dataclass(frozen=True)
class ShiftFlipCut:
    """A batch's draw: each image's shift, whether it is flipped, and the centre of its cutout.

    Attributes:
        shift: (B, 2) int64, the shift along y and x, each in [-padding, padding].
        flip: (B,) bool, whether the image is mirrored left to right, before the shift.
        centre: (B, 2) int64, the central pixel (y, x) of the blanked square; None without cutout.
        padding: the largest shift.
    """

    shift: Tensor
    flip: Tensor
    centre: Tensor | None
    padding: int

    @classmethod
    def sample(
        cls,
        rows: np.ndarray,
        seed: int,
        epoch: int,
        size: tuple[int, int],
        padding: int = 4,
        flip: bool = True,
        cutout: bool = False,
    ) -> "ShiftFlipCut":
        """Draws for images of `size` (height, width), each by (seed, epoch, its row) alone.

        Shifts are uniform over the whole pixels from -padding to padding in each direction, images are flipped
        with probability 0.5, and centres are uniform over the image.
        """
        uniform = torch.from_numpy(hashed_uniforms(_FACTORS, np.asarray(rows), seed, epoch))
        shift = (uniform[:, :2] * (2 * padding + 1)).long() - padding
        flipped = (uniform[:, 2] < 0.5) if flip else torch.zeros(len(uniform), dtype=torch.bool)
        centre = (uniform[:, 3:5] * torch.tensor(size)).long() if cutout else None
        return cls(shift, flipped, centre, padding)

    def apply(self, images: Tensor, rows: Tensor) -> Tensor:
        """Flips, then shifts the images `rows` (B,) of `images` (N, H, W, C), filling with zeros: (B, H, W, C).

        Equivalent to torchvision's RandomHorizontalFlip and RandomCrop with `padding`.
        """
        _, height, width, channels = images.shape
        device = images.device
        shift, flip, rows = (part.to(device) for part in (self.shift, self.flip, rows))
        border = self.padding
        wide = images.new_zeros(len(rows), height + 2 * border, width + 2 * border, channels)
        wide[:, border : border + height, border : border + width] = images.index_select(0, rows)
        x = torch.arange(width, device=device) - shift[:, 1:]
        x = torch.where(flip[:, None], width - 1 - x, x) + border
        y = torch.arange(height, device=device) - shift[:, :1] + border
        y += torch.arange(len(rows), device=device)[:, None] * wide.shape[1]
        places = (y * wide.shape[2])[:, :, None] + x[:, None, :]
        pixels = wide.reshape(-1, channels).index_select(0, places.reshape(-1))
        return pixels.reshape(len(rows), height, width, channels)


def cut_out_(pixels: Tensor, centre: Tensor, side: int) -> Tensor:
    """Blanks a square of each image in place and returns the images: cutout (arXiv 1708.04552).

    Args:
        pixels: (B, C, H, W), normalised, so that zero is the mean colour.
        centre: (B, 2), the central pixel (y, x) of each square, which may reach beyond the image.
        side: of the square, in pixels.
    """
    height, width = pixels.shape[-2:]
    first = (centre.to(pixels.device) - side // 2)[:, :, None]
    y, x = (torch.arange(extent, device=pixels.device) for extent in (height, width))
    inside_y, inside_x = ((line >= first[:, i]) & (line < first[:, i] + side) for i, line in enumerate((y, x)))
    return pixels.mul_(~(inside_y[:, :, None] & inside_x[:, None, :])[:, None])
