"""Whole batches of images changed at random, each image by its own key."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hfmix.utils.randomness import hashed_uniforms

_FACTORS = 5  # uniform variates an image: two of the shift, one of the flip, two of the cut


@dataclass(frozen=True)
class ShiftFlipCut:
    """One batch's draw: how far each image is shifted, whether it is flipped, and where it is cut out.

    Attributes:
        shift: (B, 2) int64, y and x in [-padding, padding]: what the image moves by.
        flip: (B,) bool, whether left and right change places; before the shift.
        centre: (B, 2) int64, the pixel in the middle of the square that is blanked; None: nothing is.
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
        """Drawn for images of `size` (height, width); what one gets follows from (seed, epoch, its row) alone.

        Shifts are uniform on the whole pixels from -padding to padding in either direction, every second image is
        flipped, and centres are uniform on the image.
        """
        uniform = torch.from_numpy(hashed_uniforms(_FACTORS, np.asarray(rows), seed, epoch))
        shift = (uniform[:, :2] * (2 * padding + 1)).long() - padding
        flipped = (uniform[:, 2] < 0.5) if flip else torch.zeros(len(uniform), dtype=torch.bool)
        centre = (uniform[:, 3:5] * torch.tensor(size)).long() if cutout else None
        return cls(shift, flipped, centre, padding)

    def apply(self, images: Tensor, rows: Tensor) -> Tensor:
        """(B, H, W, C), the images `rows` (B,) of `images` (N, H, W, C), flipped, then shifted; zeros move in.

        As torchvision's RandomHorizontalFlip and RandomCrop with `padding`.
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
        found = wide.reshape(-1, channels).index_select(0, places.reshape(-1))
        return found.reshape(len(rows), height, width, channels)


def cut_out_(pixels: Tensor, centre: Tensor, side: int) -> Tensor:
    """Blanks a square of each image of (B, C, H, W) in place, and returns them: cutout (arXiv 1708.04552).

    Args:
        pixels: normalised, so that zero is the mean colour.
        centre: (B, 2) the pixel y, x in its middle; what lies outside of the image is cut off.
        side: in pixels.
    """
    height, width = pixels.shape[-2:]
    first = (centre.to(pixels.device) - side // 2)[:, :, None]
    y, x = (torch.arange(extent, device=pixels.device) for extent in (height, width))
    inside_y, inside_x = ((line >= first[:, i]) & (line < first[:, i] + side) for i, line in enumerate((y, x)))
    return pixels.mul_(~(inside_y[:, :, None] & inside_x[:, None, :])[:, None])
