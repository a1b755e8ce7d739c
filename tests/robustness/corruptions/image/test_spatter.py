"""Spatter's steps against plain loops, scipy and, where it is installed, OpenCV."""

import numpy as np
import pytest
import torch
from photos import photo, photos
from scipy import ndimage

from hfmix import corrupt
from hfmix.robustness.corruptions.image.constants import CONSTANTS
from hfmix.robustness.corruptions.image.spatter import (
    DIAGONAL,
    KNIGHT,
    MUD,
    STRAIGHT,
    canny_edges,
    chamfer_distance,
    equalized,
    spatter,
    water_shine,
)
from hfmix.utils.keyed_noise import ImageKeys


def drops(size, severity, seed=0):
    """A thresholded layer as the original makes it, (size, size) float32."""
    loc, scale, sigma, threshold, _, _ = CONSTANTS[size]["spatter"][severity - 1]
    layer = np.random.default_rng(seed).normal(loc, scale, (size, size))
    layer = ndimage.gaussian_filter(layer, sigma, mode="nearest")
    layer[layer < threshold] = 0
    return layer.astype(np.float32)


def chamfer_by_loop(edges):
    """Two passes over a 5 × 5 mask, pixel by pixel."""
    height, width = edges.shape
    far = np.full((height + 4, width + 4), 10**8)
    far[2:-2, 2:-2] = np.where(edges, 0, 10**8)
    steps = [(-2, -1, KNIGHT), (-2, 1, KNIGHT), (-1, -2, KNIGHT), (-1, 2, KNIGHT)]
    steps += [(-1, -1, DIAGONAL), (-1, 1, DIAGONAL), (-1, 0, STRAIGHT), (0, -1, STRAIGHT)]
    for sign, rows, columns in ((1, range(height), range(width)), (-1, range(height)[::-1], range(width)[::-1])):
        for y in rows:
            for x in columns:
                here = (y + 2, x + 2)
                near = [far[here[0] + sign * dy, here[1] + sign * dx] + cost for dy, dx, cost in steps]
                far[here] = min(far[here], *near)
    return far[2:-2, 2:-2]


@pytest.mark.parametrize("share", [0.0, 0.002, 0.02, 0.3])
def test_distances_are_a_loops(share):
    edges = np.random.default_rng(0).random((2, 31, 45)) < share
    ours = chamfer_distance(torch.from_numpy(edges)).numpy()
    for i in range(2):
        assert np.array_equal(ours[i], np.minimum(chamfer_by_loop(edges[i]), 20 * STRAIGHT))


def canny_by_loop(levels, low, high):
    padded = np.pad(levels.astype(int), 1, mode="edge")
    across = ndimage.correlate(padded, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]))[1:-1, 1:-1]
    down = ndimage.correlate(padded, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]))[1:-1, 1:-1]
    strength = np.pad(np.abs(across) + np.abs(down), 1)
    crest = np.zeros(levels.shape, bool)
    for y, x in np.ndindex(levels.shape):
        m, window = strength[y + 1, x + 1], strength[y : y + 3, x : x + 3]
        slope = abs(down[y, x]) / max(abs(across[y, x]), 1e-9)
        if slope < np.tan(np.pi / 8):
            crest[y, x] = m > window[1, 0] and m >= window[1, 2]
        elif slope > np.tan(3 * np.pi / 8):
            crest[y, x] = m > window[0, 1] and m >= window[2, 1]
        elif across[y, x] * down[y, x] < 0:
            crest[y, x] = m > window[0, 2] and m > window[2, 0]
        else:
            crest[y, x] = m > window[0, 0] and m > window[2, 2]
    crest &= strength[1:-1, 1:-1] > low
    lines, _ = ndimage.label(crest, np.ones((3, 3)))
    strong = np.unique(lines[crest & (strength[1:-1, 1:-1] > high)])
    return crest & np.isin(lines, strong)


@pytest.mark.parametrize("kind", ["drops", "photo", "noise"])
def test_edges_are_cannys(kind):
    """The photo's waves have long weak lines with a strong end: what hysteresis is for."""
    levels = {
        "drops": (drops(64, 3) * 255).astype(np.uint8),
        "photo": photo(64, 45)[..., 2] // 2,
        "noise": np.random.default_rng(0).integers(0, 60, (40, 40), dtype=np.uint8),
    }[kind]
    both = torch.from_numpy(np.stack([levels, levels[::-1]]))
    ours = canny_edges(both, 50, 150).numpy()
    assert ours[0].any() and np.array_equal(ours[0], canny_by_loop(levels, 50, 150))
    assert np.array_equal(ours[1], canny_by_loop(levels[::-1], 50, 150))


def test_equalizing_spreads_the_ranks():
    levels = np.random.default_rng(0).integers(3, 16, (3, 31, 45), dtype=np.uint8) ** 2
    levels[2] = 7  # nothing to spread
    ours = equalized(torch.from_numpy(levels)).numpy()
    for image, spread in zip(levels[:2], ours, strict=False):
        others = (image > image.min()).sum()
        rank = np.array([((image <= v) & (image > image.min())).sum() for v in range(256)])[image]
        assert np.abs(spread - 255 * rank / others).max() <= 0.5 + 1e-4
    assert (ours[2] == 7).all()


def test_water_is_opencvs():
    """The whole chain from layer to shine, but for few pixels.

    OpenCV's distances differ by 1e-4 between its own routines; where a mean of them is cut to the level below,
    equalising carries that level far off.
    """
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    for size in (32, 64, 224):
        for severity in (1, 2, 3):
            layer = drops(size, severity)
            levels = (layer * 255).astype(np.uint8)
            far = cv2.distanceTransform(255 - cv2.Canny(levels, 50, 150), cv2.DIST_L2, 5)
            relief = cv2.equalizeHist(cv2.blur(np.minimum(far, 20), (3, 3)).astype(np.uint8))
            lit = cv2.filter2D(relief, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
            expected = levels * cv2.blur(lit, (3, 3)).astype(np.float32)
            ours = water_shine(torch.from_numpy(layer)[None])[0].numpy()
            off = np.abs(ours / ours.max() - expected / expected.max()) * 255
            assert (off > 1).mean() < 0.02


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_only_brightens_by_at_most_its_colour(severity):
    images = photos(20, 64)
    strength = CONSTANTS[64]["spatter"][severity - 1][4]
    change = corrupt(images, "spatter", severity).astype(int) - images
    assert change.min() >= 0
    black = corrupt(np.zeros_like(images), "spatter", severity)
    assert [black[..., c].max() for c in range(3)] == pytest.approx([strength * v for v in (175, 238, 238)], abs=1)
    dry = (black == 0).all(-1)
    assert 0.3 < dry.mean() < 1 and (change[dry] == 0).all()


@pytest.mark.parametrize("severity", [4, 5])
def test_mud_covers_with_its_colour(severity):
    """What is muddy is the image and mud mixed with a weight from 0.8 to 1; the rest is untouched."""
    images = photos(20, 64)
    on_black = corrupt(np.zeros_like(images), "spatter", severity).astype(int)
    on_white = corrupt(np.full_like(images, 255), "spatter", severity).astype(int)
    cover = 1 - (on_white - on_black)[..., 0] / 255
    muddy = on_black.any(-1)
    assert 0.001 < muddy.mean() < 0.5
    assert (cover[~muddy] == 0).all() and cover[muddy].min() > 0.79
    expected = images * (1 - cover[..., None]) + cover[..., None] * np.array(MUD)
    assert np.abs(corrupt(images, "spatter", severity) - expected)[muddy].max() <= 2


def test_an_image_without_a_drop_turns_black_in_parity_only():
    keys = ImageKeys(0, 0, "spatter", 1, 2, torch.device("cpu"))
    images = torch.from_numpy(photos(2, 32))
    nowhere = (0.1, 0.01, 1.0, 0.7, 0.5, 0)
    assert (spatter(images, nowhere, keys, corrected=False) == 0).all()
    assert torch.equal(spatter(images, nowhere, keys, corrected=True), images.float())
