"""Contrast, elastic transform, pixelate, JPEG and saturate against NumPy, scipy, Pillow and matplotlib."""

import io

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from photos import photo
from PIL import Image
from scipy import ndimage

from hfmix import corrupt
from hfmix.robustness.corruptions.image.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.image.digital import affine_warped, displaced

SEVERITY_AND_SIZE = [(s, size) for s in SEVERITIES for size in (32, 64, 224)]


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_contrast_shrinks_towards_the_channels_means(severity, size):
    x = photo(size) / 255
    mean = x.mean((0, 1), keepdims=True)
    expected = ((x - mean) * CONSTANTS[size]["contrast"][severity - 1] + mean) * 255
    assert np.abs(corrupt(photo(size), "contrast", severity).astype(int) - expected.astype(np.uint8)).max() <= 1


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_saturate_scales_hsvs_saturation(severity, size):
    image = photo(size)
    image[:3] = image[:3, :, :1]  # grey has a hue of 0, red
    image[3] = 0
    factor, shift = CONSTANTS[size]["saturate"][severity - 1]
    hsv = rgb_to_hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + shift, 0, 1)
    expected = (np.clip(hsv_to_rgb(hsv), 0, 1) * 255).astype(np.uint8)
    assert np.abs(corrupt(image, "saturate", severity).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_jpeg_and_pixelate_are_pillows_own(severity, size):
    image = photo(size)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=CONSTANTS[size]["jpeg_compression"][severity - 1])
    assert np.array_equal(corrupt(image, "jpeg_compression", severity), np.asarray(Image.open(buffer)))
    side = int(size * CONSTANTS[size]["pixelate"][severity - 1])
    boxed = Image.fromarray(image).resize((side, side), Image.BOX).resize((size, size), Image.BOX)
    assert np.array_equal(corrupt(image, "pixelate", severity), np.asarray(boxed))


def test_pillow_in_several_threads_keeps_the_order():
    images = np.random.default_rng(0).integers(256, size=(9, 20, 24, 3), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        in_threads = corrupt(images, "jpeg_compression", 2)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(in_threads, np.stack([corrupt(image, "jpeg_compression", 2) for image in images]))


def points(height, width):
    x, y, s = width // 2, height // 2, min(height, width) // 3
    return np.array([[x + s, y + s], [x + s, y - s], [x - s, y - s]], dtype=float)


@pytest.mark.parametrize("grid", [None, 32])
@pytest.mark.parametrize(("size", "reach"), [((32, 32), 2.6), ((31, 45), 8.0), ((224, 224), 48.8)])
def test_the_affine_map_is_scipys(size, reach, grid):
    """The matrix from the three points by a linear solve, the image by map_coordinates, mirrored at the edge."""
    image = photo(*size)
    moved = np.random.default_rng(0).uniform(-reach, reach, (4, 3, 2))
    planes = torch.from_numpy(image).permute(2, 0, 1).float().expand(4, -1, -1, -1)
    ours = affine_warped(planes, torch.from_numpy(moved).float(), grid).permute(0, 2, 3, 1).numpy()
    rows, columns = np.mgrid[: size[0], : size[1]]
    for i in range(4):
        target = np.column_stack([points(*size) + moved[i], np.ones(3)])
        to_source = np.linalg.solve(target, points(*size))
        x, y = np.moveaxis(np.stack([columns, rows, np.ones(size)], -1) @ to_source, -1, 0)
        if grid:
            x, y = (np.floor(v * grid + 0.5) / grid for v in (x, y))
        expected = np.stack(
            [
                ndimage.map_coordinates(image[..., c].astype(float), [y, x], order=1, mode="mirror")
                for c in range(3)
            ],
            -1,
        )
        # a coordinate in the middle of the grid's steps may be rounded to the other one
        close = np.abs(ours[i] - expected) < 0.1
        assert close.all() if grid is None else close.mean() > 0.999


def test_the_affine_map_rounds_as_opencv_4_did():
    """OpenCV 5 no longer rounds coordinates: there `grid=None` is equal."""
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    grid = 32 if int(cv2.__version__.split(".")[0]) < 5 else None
    image = photo(96).astype(np.float32)
    moved = np.random.default_rng(0).uniform(-10, 10, (3, 2)).astype(np.float32)
    start = points(96, 96).astype(np.float32)
    matrix = cv2.getAffineTransform(start, start + moved)
    expected = cv2.warpAffine(image, matrix, (96, 96), borderMode=cv2.BORDER_REFLECT_101)
    ours = affine_warped(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(moved)[None], grid)
    # it adds up in 1/1024 first, which turns a few roundings round; without a grid the mean error is 0.05
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - expected).mean() < 0.01


@pytest.mark.parametrize("reach", [0.4, 3.0, 70.0])
def test_displacing_is_scipys_map_coordinates(reach):
    """Reflected about the edge of the outermost pixels, also where the displacement is wider than the image."""
    image = photo(31, 45).astype(float)
    displacement = np.random.default_rng(1).uniform(-reach, reach, (2, 31, 45))
    rows, columns = np.mgrid[:31, :45]
    place = [rows + displacement[1], columns + displacement[0]]
    expected = [ndimage.map_coordinates(image[..., c], place, order=1, mode="reflect") for c in range(3)]
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    ours = displaced(planes, torch.from_numpy(displacement)[None].float())[0].numpy()
    assert np.allclose(ours, expected, atol=0.02)


@pytest.mark.parametrize("severity", [1, 5])
def test_elastic_transform_moves_a_point_as_far_as_its_constants_say(severity):
    """A ramp along x over 500 images tells how far places moved: the affine map's corner by a uniform draw on ±c,
    and everything by the smoothed noise."""
    size = 32
    ramp = np.tile(np.arange(0, 8 * size, 8, dtype=np.uint8)[:, None], (500, size, 1, 1))
    alpha, sigma, affine = CONSTANTS[size]["elastic_transform"][severity - 1]
    moved = (corrupt(ramp, "elastic_transform", severity, mode="corrected").astype(float) - ramp)[..., 0] / 8
    spread = moved[:, 6, 26].std()  # by the point (26, 6), which the affine map moves by one draw
    smoothing = alpha / 3**0.5 / max((4 * np.pi) ** 0.5 * sigma, 1)
    assert spread == pytest.approx(np.hypot(affine / 3**0.5, smoothing), rel=0.15)
    assert np.abs(moved[:, 6, 26].mean()) < 5 * spread / 500**0.5
