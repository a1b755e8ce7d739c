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
        reflect: fill with the image's reflection about its outermost pixels instead of zeros.
    """

    shift: Tensor
    flip: Tensor
    centre: Tensor | None
    padding: int
    reflect: bool = False

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
        alternate: bool = False,
        reflect: bool = False,
    ) -> "ShiftFlipCut":
        """Draws for images of `size` (height, width), each by (seed, epoch, its row) alone.

        Shifts are uniform over the whole pixels from -padding to padding in each direction, and centres are
        uniform over the image. Images are flipped with probability 0.5; with `alternate` in every other epoch, in
        even or odd ones by one coin an image (alternating flip, arXiv 2404.00498).

        Raises:
            ValueError: `reflect` with a padding that is not below the image's sides.
        """
        if reflect:
            check_reflection(size, padding)
        uniform = torch.from_numpy(hashed_uniforms(_FACTORS, np.asarray(rows), seed, epoch))
        shift = (uniform[:, :2] * (2 * padding + 1)).long() - padding
        flipped = (uniform[:, 2] < 0.5) if flip else torch.zeros(len(uniform), dtype=torch.bool)
        centre = (uniform[:, 3:5] * torch.tensor(size)).long() if cutout else None
        if flip and alternate:
            first = torch.from_numpy(hashed_uniforms(1, np.asarray(rows), seed)[:, 0] < 0.5)
            flipped = first ^ bool(epoch % 2)
        return cls(shift, flipped, centre, padding, reflect)

    def apply(self, images: Tensor, rows: Tensor) -> Tensor:
        """Flips, then shifts the images `rows` (B,) of `images` (N, H, W, C): (B, H, W, C).

        Equivalent to torchvision's RandomHorizontalFlip and RandomCrop with `padding`, of zeros or reflected.
        """
        _, height, width, channels = images.shape
        device = images.device
        shift, flip, rows = (part.to(device) for part in (self.shift, self.flip, rows))
        x = torch.arange(width, device=device) - shift[:, 1:]
        x = torch.where(flip[:, None], width - 1 - x, x)
        y = torch.arange(height, device=device) - shift[:, :1]
        if self.reflect:
            wide, x, y = images.index_select(0, rows), _reflected(x, width), _reflected(y, height)
        else:
            border = self.padding
            wide = images.new_zeros(len(rows), height + 2 * border, width + 2 * border, channels)
            wide[:, border : border + height, border : border + width] = images.index_select(0, rows)
            x, y = x + border, y + border
        y += torch.arange(len(rows), device=device)[:, None] * wide.shape[1]
        places = (y * wide.shape[2])[:, :, None] + x[:, None, :]
        pixels = wide.reshape(-1, channels).index_select(0, places.reshape(-1))
        return pixels.reshape(len(rows), height, width, channels)


def check_reflection(size: tuple[int, int], padding: int) -> None:
    """Raises a ValueError if an image of `size` cannot be reflected so far."""
    if padding >= min(size):
        raise ValueError(
            f"crop_padding {padding} reflects more than an image of {size[0]}×{size[1]} pixels holds: set "
            f"crop_padding below {min(size)}, or crop_padding_mode to constant"
        )


def _reflected(place: Tensor, extent: int) -> Tensor:
    """Returns the pixels at these places of a line of `extent` pixels that is reflected about its ends."""
    last = extent - 1
    return last - (last - place.abs()).abs()


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
