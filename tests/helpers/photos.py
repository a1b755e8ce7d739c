"""A test image without a file: smooth waves, edges and fine stripes, where rounding and borders show."""

import numpy as np


def photo(height: int, width: int | None = None) -> np.ndarray:
    """(height, width, 3) uint8; square without a width."""
    width = width or height
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * x * y), (x > 0.5) * 0.8 + 0.1 * np.sin(40 * y)]
    return np.stack([255 * (w - w.min()) / max(np.ptp(w), 1e-9) for w in waves], -1).astype(np.uint8)


def photos(count: int, height: int, width: int | None = None) -> np.ndarray:
    """(count, height, width, 3) uint8, shifted copies."""
    image = photo(height, width)
    return np.stack([np.roll(image, 5 * i, 1) for i in range(count)])
