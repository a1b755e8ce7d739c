"""The blurs against scipy, and against pixel-by-pixel loops given the same draws."""

import math

import numpy as np
import pytest
import torch
from photos import photo
from scipy import ndimage

from hfmix import corrupt
from hfmix.robustness.corruptions.image.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.image.filters import clipped_zoom, motion_blurred, smoothed
from hfmix.robustness.corruptions.image.glass import glass_sources

SEVERITY_AND_SIZE = [(s, size) for s in SEVERITIES for size in (32, 64, 224)]


def within_a_level(ours, expected):
    """Where the exact value is a whole level, float32 and float64 may fall on either side of it."""
    difference = ours.astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.1


def cut(x: np.ndarray) -> np.ndarray:
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_defocus_blur_is_scipys_convolution_with_a_soft_disk(severity, size):
    radius, alias = CONSTANTS[size]["defocus_blur"][severity - 1]
    reach, taps = (8, 3) if radius <= 8 else (radius, 5)
    grid = np.arange(-reach, reach + 1)
    disk = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(float)
    disk /= disk.sum()
    soft = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * alias**2))
    for axis in (0, 1):
        disk = ndimage.correlate1d(disk, soft / soft.sum(), axis, mode="mirror")
    image = photo(size)
    expected = np.stack([ndimage.convolve(image[..., i] / 255, disk, mode="mirror") for i in range(3)], -1)
    within_a_level(corrupt(image, "defocus_blur", severity), cut(expected))


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_gaussian_blur_is_scipys(severity, size):
    image, sigma = photo(size, size + 7), CONSTANTS[size]["gaussian_blur"][severity - 1]
    expected = ndimage.gaussian_filter(image / 255, (sigma, sigma, 0), mode="nearest")
    within_a_level(corrupt(image, "gaussian_blur", severity), cut(expected))


@pytest.mark.parametrize("sigma", [0.0, 0.4, 3.0, 170.8])
@pytest.mark.parametrize(("border", "truncate"), [("nearest", 4.0), ("reflect", 3.0)])
def test_smoothing_is_scipys_also_past_the_border(sigma, border, truncate):
    noise = np.random.default_rng(0).normal(size=(2, 31, 45))
    expected = ndimage.gaussian_filter(noise, (0, sigma, sigma), mode=border, truncate=truncate)
    ours = smoothed(torch.from_numpy(noise).float(), sigma, border, truncate)
    assert np.allclose(ours.numpy(), expected, atol=1e-5)


def shuffled_by_loop(image, down, right, delta, swap):
    """The original's loop, with its statement; or a real exchange of copies."""
    image = image.copy()
    height, width = image.shape[:2]
    last, first = (1, delta) if swap else (0, delta + 1)
    for h in range(height - delta - last, first - 1, -1):
        for w in range(width - delta - last, first - 1, -1):
            there = h + down[h, w], w + right[h, w]
            if swap:
                image[h, w], image[there] = image[there].copy(), image[h, w].copy()
            else:
                image[h, w], image[there] = image[there], image[h, w]
    return image


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("delta", "size"), [(1, (32, 32)), (2, (31, 45)), (4, (60, 33)), (5, (9, 40)), (4, (6, 6))]
)
def test_glass_shuffles_as_a_loop_over_pixels(delta, size, swap):
    """Exactly, given the same offsets, in a batch of three with a draw each."""
    rng = np.random.default_rng(delta)
    down, right = (rng.integers(-delta, delta + swap, (3, *size), dtype=np.int32) for _ in range(2))
    image = rng.integers(256, size=(*size, 3), dtype=np.uint8)
    sources = glass_sources(torch.from_numpy(down), torch.from_numpy(right), delta, swap).numpy()
    for i in range(3):
        ours = image.reshape(-1, 3)[sources[i]].reshape(image.shape)
        assert np.array_equal(ours, shuffled_by_loop(image, down[i], right[i], delta, swap))
        assert len(np.unique(sources[i])) == len(sources[i]) or not swap


@pytest.mark.parametrize("mode", ["parity", "corrected"])
def test_glass_blur_moves_by_its_offsets(mode):
    """At severity 1 of the 32-pixel set nothing is smoothed and a pass moves by at most one, as the draws have it.

    A ramp of levels tells where each pixel came from. In parity offsets are -1 or 0, half each; pixels that are
    exchanged stay where they are on average.
    """
    ramp = np.tile(np.arange(0, 240, 5, dtype=np.uint8)[:, None, None], (500, 1, 47, 3))
    moved = corrupt(ramp, "glass_blur", 1, mode=mode).astype(int) - ramp
    inner = moved[:, 8:-8, 8:-8, 0] / 5
    if mode == "parity":
        assert set(np.unique(inner)) == {-1, 0}
        assert (inner == -1).mean() == pytest.approx(0.5, abs=0.005)
    else:
        assert inner.mean() == pytest.approx(0, abs=0.02)
        assert inner.min() == -1 and inner.max() > 1  # what was exchanged backwards may be taken along again


def magick_motion_blur(image, radius, sigma, degrees):
    """ImageMagick's loop over pixels and taps, in float64."""
    width = 2 * math.ceil(radius) + 1
    kernel = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
    kernel /= kernel.sum()
    y_reach, x_reach = width * math.sin(math.radians(degrees)), width * math.cos(math.radians(degrees))
    hypotenuse = math.hypot(x_reach, y_reach)
    out = np.zeros(image.shape)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    for i, weight in enumerate(kernel):
        dx, dy = math.ceil(i * x_reach / hypotenuse - 0.5), math.ceil(i * y_reach / hypotenuse - 0.5)
        y, x = (rows + dy).clip(0, image.shape[0] - 1), (columns + dx).clip(0, image.shape[1] - 1)
        out += weight * image[y, x]
    return out


@pytest.mark.parametrize("constants", [(6, 1), (9, 2.5), (20, 15)])
def test_motion_blur_is_imagemagicks(constants):
    degrees = [-44.9, -13.2, 0.0, 7.7, 45.0, -90.0, -134.0]
    planes = torch.from_numpy(np.stack([photo(31, 45)] * len(degrees))).permute(0, 3, 1, 2).float()
    ours = motion_blurred(planes, *constants, torch.tensor(degrees)).permute(0, 2, 3, 1).numpy()
    for angle, blurred in zip(degrees, ours, strict=True):
        assert np.allclose(blurred, magick_motion_blur(photo(31, 45), *constants, angle), atol=1e-3)


def test_motion_blurs_angles_are_uniform_on_a_quarter():
    """A bright pixel leaves a streak: over 600 images its angle is within ±45°, and spread evenly."""
    image = np.zeros((63, 63, 1), np.uint8)
    image[31, 60] = 255
    images = corrupt(np.stack([image] * 600), "motion_blur", 5, constants=224).astype(float)[..., 0]
    rows, columns = np.mgrid[:63, :63] - np.array([31, 60])[:, None, None]
    total = images.sum((1, 2))
    angles = np.rad2deg(np.arctan2(-(images * rows).sum((1, 2)) / total, -(images * columns).sum((1, 2)) / total))
    assert np.abs(angles).max() < 47  # rounded offsets bend a streak by a degree or two
    assert angles.mean() == pytest.approx(0, abs=5 * 26 / 600**0.5)
    assert angles.std() == pytest.approx(90 / 12**0.5, rel=0.1)


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.11, 1.25, 1.75, 2.5, 4.5])
@pytest.mark.parametrize("size", [32, 64, 224])
def test_the_clipped_zoom_is_scipys(factor, size):
    image = photo(size).astype(np.float64)
    crop = math.ceil(size / factor)
    start = (size - crop) // 2
    zoomed = ndimage.zoom(image[start : start + crop, start : start + crop], (factor, factor, 1), order=1)
    trim = (len(zoomed) - size) // 2
    ours = clipped_zoom(torch.from_numpy(image).permute(2, 0, 1)[None].float(), factor)
    assert np.allclose(ours[0].permute(1, 2, 0).numpy(), zoomed[trim : trim + size, trim : trim + size], atol=0.02)


@pytest.mark.parametrize("factor", [1.0, 1.13, 3.0])
def test_the_corrected_zoom_is_exact_about_the_centre(factor):
    """A linear ramp is reproduced exactly by bilinear reading: the value is the coordinate it was read at."""
    ramp = torch.arange(45.0).expand(1, 1, 31, 45)
    zoomed = clipped_zoom(torch.cat([ramp, torch.arange(31.0)[:, None].expand(1, 1, 31, 45)], 1), factor, True)[0]
    assert torch.allclose(zoomed[0, 3], 22 + (torch.arange(45.0) - 22) / factor, atol=1e-4)
    assert torch.allclose(zoomed[1, :, 3], 15 + (torch.arange(31.0) - 15) / factor, atol=1e-4)


@pytest.mark.parametrize(("severity", "size"), [(s, size) for s in SEVERITIES for size in (32, 64)])
def test_zoom_blur_is_the_mean_of_scipys_zooms(severity, size):
    image = photo(size) / 255
    factors = np.arange(*CONSTANTS[size]["zoom_blur"][severity - 1])
    total = image.copy()
    for factor in factors:
        crop = math.ceil(size / factor)
        start = (size - crop) // 2
        zoomed = ndimage.zoom(image[start : start + crop, start : start + crop], (factor, factor, 1), order=1)
        trim = (len(zoomed) - size) // 2
        total += zoomed[trim : trim + size, trim : trim + size]
    within_a_level(corrupt(photo(size), "zoom_blur", severity), cut(total / (len(factors) + 1)))
