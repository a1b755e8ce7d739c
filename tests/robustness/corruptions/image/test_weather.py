"""Snow, fog and brightness against plain NumPy given the same draws; frost by what its textures leave."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from photos import photo
from PIL import Image
from scipy import ndimage
from scipy.stats import chi2

from hfmix import corrupt
from hfmix.robustness.corruptions.image import textures
from hfmix.robustness.corruptions.image.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.image.textures import drawn_frost, frost_source, frost_textures
from hfmix.robustness.corruptions.image.weather import plasma_fractal, snow_flakes
from hfmix.utils.keyed_noise import ImageKeys


@pytest.mark.parametrize(("severity", "size"), [(s, size) for s in SEVERITIES for size in (32, 64, 224)])
def test_brightness_is_a_shift_of_hsvs_value(severity, size):
    hsv = rgb_to_hsv(photo(size) / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + CONSTANTS[size]["brightness"][severity - 1], 0, 1)
    expected = (hsv_to_rgb(hsv) * 255).astype(np.uint8)
    assert np.abs(corrupt(photo(size), "brightness", severity).astype(int) - expected).max() <= 1


def diamond_square(draws, size, decay):
    """The original's algorithm: one map filled in place, with its draws taken from a list."""
    draws = [list(level) for level in draws]
    heights, step, wibble, level = np.zeros((size, size)), size, 100.0, 0

    def noisy_mean(total, which):
        return total / 4 + wibble * (wibble * draws[level][which])

    while step >= 2:
        half = step // 2
        corners = heights[0:size:step, 0:size:step]
        squares = corners + np.roll(corners, -1, 0)
        squares = squares + np.roll(squares, -1, 1)
        heights[half:size:step, half:size:step] = noisy_mean(squares, 0)
        centres = heights[half:size:step, half:size:step]
        right = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        below = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[0:size:step, half:size:step] = noisy_mean(right, 1)
        heights[half:size:step, 0:size:step] = noisy_mean(below, 2)
        step, wibble, level = half, wibble / decay, level + 1
    heights -= heights.min()
    return heights / heights.max()


@pytest.mark.parametrize(("doublings", "decay"), [(5, 3), (6, 1.75), (8, 1.4)])
def test_the_plasma_is_diamond_square(doublings, decay):
    rng = np.random.default_rng(doublings)
    draws = [rng.uniform(-1, 1, (2, 3, 1 << i, 1 << i)) for i in range(doublings)]
    ours = plasma_fractal([torch.from_numpy(draw).float() for draw in draws], decay).numpy()
    for i in range(2):
        assert np.allclose(ours[i], diamond_square([draw[i] for draw in draws], 1 << doublings, decay), atol=1e-4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_adds_the_plasma_and_keeps_the_maximum(severity):
    image = photo(31, 45)  # a map of 64
    thickness, decay = CONSTANTS[32]["fog"][severity - 1]
    keys = ImageKeys(0, 0, "fog", severity, 1, torch.device("cpu"))
    draws = [2 * keys.uniform((3, 1 << i, 1 << i), stream=i)[0].double().numpy() - 1 for i in range(6)]
    clouds = diamond_square(draws, 64, decay)[:31, :45, None]
    x, brightest = image / 255, image.max() / 255
    expected = np.clip((x + thickness * clouds) * brightest / (brightest + thickness), 0, 1) * 255
    assert np.abs(corrupt(image, "fog", severity).astype(int) - expected.astype(np.uint8)).max() <= 1


def test_fog_has_the_statistics_of_its_plasma():
    """Over 600 images: clouds reach from 0 to 1, and are about a half on average."""
    fogged = corrupt(np.full((600, 32, 32, 1), 255, np.uint8), "fog", 5) / 255
    clouds = (fogged * (1 + 1.5) - 1) / 1.5
    assert np.allclose(clouds.min((1, 2, 3)), 0, atol=0.01) and np.allclose(clouds.max((1, 2, 3)), 1, atol=0.01)
    means = clouds.mean((1, 2, 3))
    assert means.mean() == pytest.approx(0.5, abs=5 * means.std() / 600**0.5 + 0.004)


def magick(layer, radius, sigma, degrees):
    kernel = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    rows, columns = np.mgrid[: layer.shape[0], : layer.shape[1]]
    out = np.zeros(layer.shape)
    for i, weight in enumerate(kernel / kernel.sum()):
        dx = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        dy = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        out += weight * layer[(rows + dy).clip(0, layer.shape[0] - 1), (columns + dx).clip(0, layer.shape[1] - 1)]
    return out


@pytest.mark.parametrize(("severity", "size"), [(s, size) for s in SEVERITIES for size in (32, 224)])
def test_snow_is_the_originals_given_its_draws(severity, size):
    loc, scale, zoom, threshold, radius, sigma, kept = CONSTANTS[size]["snow"][severity - 1]
    keys = ImageKeys(0, 0, "snow", severity, 1, torch.device("cpu"))
    layer = keys.normal((size, size))[0].double().numpy() * scale + loc
    degrees = keys.uniform((), stream=1).item() * 90 - 135
    crop = math.ceil(size / zoom)
    start = (size - crop) // 2
    layer = ndimage.zoom(layer[start : start + crop, start : start + crop], zoom, order=1)
    trim = (len(layer) - size) // 2
    layer = layer[trim : trim + size, trim : trim + size]
    layer[layer < threshold] = 0
    flakes = np.rint(magick((np.clip(layer, 0, 1) * 255).astype(np.uint8), radius, sigma, degrees)) / 255
    x = photo(size) / 255
    grey = (x * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
    x = kept * x + (1 - kept) * np.maximum(x, grey * 1.5 + 0.5)
    expected = np.clip(x + flakes[..., None] + np.rot90(flakes, 2)[..., None], 0, 1) * 255
    difference = np.abs(corrupt(photo(size), "snow", severity).astype(int) - expected.astype(np.uint8))
    # a flake at the threshold may fall to its other side
    assert (difference > 1).mean() < 2e-3 and np.median(difference) == 0


def test_flakes_have_the_share_that_the_threshold_leaves():
    """Unblurred and unenlarged, over 500 layers: the normal's tail beyond the threshold."""
    layer = ImageKeys(0, 0, "snow", 1, 500, torch.device("cpu")).normal((1, 32, 32)) * 0.2 + 0.1
    flakes = snow_flakes(layer, 1.0, 0.5, 1, 1e-3, torch.zeros(500), corrected=False)
    tail = 0.02275  # of the normal beyond 2
    assert (flakes > 0).float().mean().item() == pytest.approx(tail, abs=5 * (tail / layer.numel()) ** 0.5)
    assert flakes[flakes > 0].min() >= 127


def crops_found(corrupted, severity, count):
    """For each image, from which of the first `count` textures it is a crop."""
    added = CONSTANTS[32]["frost"][severity - 1][1]
    found = []
    for image in corrupted:
        which = []
        for number, texture in enumerate(frost_textures(32, 32)[:count]):
            shine = (texture.numpy() * added).clip(0, 255).astype(int)
            starts = np.argwhere((np.abs(shine[:-31, :-31] - image[0, 0]) <= 1).all(-1))
            if any(np.abs(shine[y : y + 32, x : x + 32] - image).max() <= 1 for y, x in starts):
                which.append(number)
        found.append(which)
    return found


@pytest.mark.parametrize(("mode", "count"), [("parity", 5), ("corrected", 6)])
def test_frost_is_a_crop_of_one_of_its_textures(mode, count):
    """A black image shows the crop; over 500 images all textures come equally often (chi-squared, level 1e-5)."""
    frosted = corrupt(np.zeros((500, 32, 32, 3), np.uint8), "frost", 5, mode=mode).astype(int)
    found = crops_found(frosted, 5, 6)
    assert all(found)
    often = np.bincount([which[0] for which in found], minlength=6)
    photographs_two_and_three = int(often[1] + often[2])
    assert often[5:].sum() == 0 or mode == "corrected"
    cells = np.array([often[0], photographs_two_and_three, *often[3:count]])
    expected = 500 / count * np.array([1, 2, *[1] * (count - 3)])
    assert chi2.sf(((cells - expected) ** 2 / expected).sum(), len(cells) - 1) > 1e-5


def test_frost_adds_to_a_dimmed_image():
    image = photo(64)
    plain = corrupt(np.zeros_like(image), "frost", 3).astype(int)
    kept = CONSTANTS[64]["frost"][2][0]
    expected = np.clip(image * kept + plain, 0, 255)
    assert np.abs(corrupt(image, "frost", 3) - expected).max() <= 1


def test_drawn_frost_looks_like_the_photographs_in_its_statistics():
    """In mean colour and contrast: those of the six files, measured."""
    photographs = [((78, 149, 166), 19), ((201, 205, 214), 22), ((201, 205, 214), 22), ((138, 153, 165), 28)]
    for drawn, (colour, contrast) in zip(drawn_frost(), photographs, strict=False):
        assert np.allclose(drawn.mean((0, 1)), colour, atol=12)
        assert drawn.std((0, 1)).mean() == pytest.approx(contrast, abs=5)


def test_installed_photographs_are_used(tmp_path, monkeypatch):
    """Also from a package that cannot be imported, as `imagecorruptions` with a recent NumPy."""
    folder = tmp_path / "imagecorruptions" / "frost"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('too old')")
    for i, name in enumerate(textures._FILES):
        Image.new("RGB", (400, 320), (40 * i, 0, 200)).save(folder / name, quality=100)
    monkeypatch.syspath_prepend(tmp_path)
    frost_textures.cache_clear()
    try:
        assert frost_source() == "imagecorruptions"
        assert [texture[0, 0, 2].item() for texture in frost_textures(32, 32)] == pytest.approx([200] * 6, abs=3)
        assert frost_textures(32, 32)[0].shape == (64, 80, 3) and frost_textures(64, 64)[3].shape == (96, 120, 3)
        assert frost_textures(224, 224)[1].shape == (320, 400, 3) and frost_textures(480, 300)[1].shape[0] == 481
        (folder / "frost6.jpg").unlink()
        assert frost_source() == "procedural"
    finally:
        frost_textures.cache_clear()
