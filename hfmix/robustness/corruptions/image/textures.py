"""Textures of frost: the original's photographs if installed, drawn crystals otherwise."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from hfmix.robustness.corruptions.image.constants import constants_for

# the sixth is used in "corrected" mode only
_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
_SIZE = (330, 500)
# the photographs' mean colour and contrast (standard deviation), so that drawn frost hides about as much as they
_LOOKS = (
    ((78, 149, 166), 19),
    ((201, 205, 214), 22),
    ((190, 204, 220), 24),
    ((138, 153, 165), 28),
    ((112, 123, 135), 43),
    ((71, 95, 105), 40),
)
# factor by which the original's scripts shrink the textures for small images
_SHRINK = {32: 0.2, 64: 0.3, 224: 1.0, 299: 1.0}


def frost_source() -> Literal["imagecorruptions", "procedural"]:
    """Tells the source of frost: photographs in the package `imagecorruptions` (``hfmix[frost]``), or drawings."""
    return "procedural" if _photographs() is None else "imagecorruptions"


@lru_cache(maxsize=8)
def frost_textures(height: int, width: int) -> tuple[Tensor, ...]:
    """Returns six (h, w, 3) uint8 textures, larger than (height, width) and scaled for such images."""
    photographs = _photographs()
    full = drawn_frost() if photographs is None else tuple(_read(photographs / name) for name in _FILES)
    textures = []
    for texture in full:
        h, w = texture.shape[:2]
        factor = max(_SHRINK[constants_for(height, width)], (height + 1) / h, (width + 1) / w)
        textures.append(torch.from_numpy(texture if factor == 1 else _resized(texture, factor)))
    return tuple(textures)


@lru_cache(maxsize=1)
def drawn_frost() -> tuple[np.ndarray, ...]:
    """Draws six textures of fern-like ice crystals in the photographs' colours and contrasts; deterministic."""
    textures = []
    for number, (colour, contrast) in enumerate(_LOOKS):
        rng = np.random.default_rng(number)
        ice = Image.new("L", (_SIZE[1], _SIZE[0]))
        pen = ImageDraw.Draw(ice)
        for _ in range(110):
            start, angle = rng.uniform((0, 0), _SIZE[::-1]), rng.uniform(0, 360)
            _grow(pen, rng, start, angle, length=rng.uniform(30, 110), depth=2)
        crystals = np.asarray(ice.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float64)
        haze = sum(_soft_noise(rng, cells) * 30 for cells in (3, 9, 27))
        grain = rng.normal(0, 12, _SIZE)
        relief = crystals + haze + grain
        relief = (relief - relief.mean()) / relief.std() * contrast
        textures.append(np.clip(relief[..., None] + colour, 0, 255).astype(np.uint8))
    return tuple(textures)


def _grow(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, start: np.ndarray, angle: float, length: float, depth: int
) -> None:
    """Draws a stem with side branches at 60°, shorter towards its tip, recursively."""
    direction = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    end = start + length * direction
    pen.line([*start, *end], fill=int(rng.uniform(90, 150) + 45 * depth), width=1 + depth)
    if depth == 0:
        return
    for at in np.arange(4, length, 7 if depth == 2 else 5):
        for turn in (-60, 60):
            side = 0.45 * (length - at) * rng.uniform(0.6, 1)
            if side > 2:
                _grow(pen, rng, start + at * direction, angle + turn + rng.normal(0, 3), side, depth - 1)


def _soft_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Draws smooth noise of unit scale with about `cells` hills across."""
    coarse = rng.normal(size=(cells, 3 * cells // 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize(_SIZE[::-1], Image.Resampling.BICUBIC), dtype=np.float64)


def _photographs() -> Path | None:
    """Finds the photographs' folder; without importing the package, which does not run on current NumPy."""
    spec = importlib.util.find_spec("imagecorruptions")
    folders = [Path(place) / "frost" for place in spec.submodule_search_locations or ()] if spec else []
    return next((folder for folder in folders if all((folder / name).is_file() for name in _FILES)), None)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def _resized(texture: np.ndarray, factor: float) -> np.ndarray:
    """Resizes by bilinear interpolation without anti-aliasing, as OpenCV does by a factor."""
    levels = texture.astype(np.float64)
    for axis in (0, 1):
        size = texture.shape[axis]
        place = ((np.arange(round(size * factor)) + 0.5) / factor - 0.5).clip(0, size - 1)
        low = np.minimum(place.astype(int), size - 2)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
        levels = levels.take(low, axis) * (1 - share) + levels.take(low + 1, axis) * share
    return np.rint(levels).astype(np.uint8)
