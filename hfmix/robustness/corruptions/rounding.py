"""From real grey levels to the whole ones of a uint8 image."""

import torch
from torch import Tensor


def whole_levels(levels: Tensor, corrected: bool) -> Tensor:
    """uint8: rounded where `corrected`, otherwise cut off as the original code does.

    The original works in float64, where a whole level stays whole; in float32 it may end a little below and would
    lose a level to the cut: 2⁻¹⁰ is more than any such error.
    """
    levels = levels.clamp(0, 255)
    return (levels.round() if corrected else levels + 2**-10).to(torch.uint8)
