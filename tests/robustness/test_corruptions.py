"""Corruptions against references from scipy, matplotlib and Pillow; their noise by distribution."""

import io

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import convolve, correlate1d
from scipy.stats import kstest, norm

from hfmix import corrupt, corruption_names
from hfmix.robustness.corruptions.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.random import ImageKeys

NAMES = corruption_names("image")
SEVERITY_AND_SIZE = [(s, size) for s in SEVERITIES for size in (32, 64, 224)]


def photo(size: int) -> np.ndarray:
    """A smooth image with edges: where rounding and borders show."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * x * y), (x > 0.5) * 0.8 + 0.1 * np.sin(40 * y)]
    return np.stack([255 * (w - w.min()) / (w.max() - w.min()) for w in waves], -1).astype(np.uint8)


def reference(image: np.ndarray, name: str, c) -> np.ndarray:
    """The original's arithmetic on one image, in float64, cut to uint8."""
    x = image / 255.0
    if name == "brightness":
        hsv = rgb_to_hsv(x)
        hsv[..., 2] = np.clip(hsv[..., 2] + c, 0, 1)
        x = hsv_to_rgb(hsv)
    elif name == "contrast":
        mean = x.mean((0, 1), keepdims=True)
        x = (x - mean) * c + mean
    elif name == "defocus_blur":
        radius, alias = c
        reach, taps = (8, 3) if radius <= 8 else (radius, 5)
        grid = np.arange(-reach, reach + 1)
        disk = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(float)
        disk /= disk.sum()
        soft = np.exp(-((np.arange(taps) - taps // 2) ** 2) / (2 * alias**2))
        for axis in (0, 1):
            disk = correlate1d(disk, soft / soft.sum(), axis, mode="mirror")
        x = np.stack([convolve(x[..., i], disk, mode="mirror") for i in range(3)], -1)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def test_constants_are_the_published_ones():
    """From the tables of ImageNet-C's make_imagenet_c.py and make_cifar_c.py."""
    published = {
        224: {
            "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
            "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
            "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
            "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
            "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
            "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
            "jpeg_compression": (25, 18, 15, 10, 7),
        },
        32: {
            "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
            "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
            "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
            "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
            "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
            "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
            "jpeg_compression": (80, 65, 58, 50, 40),
        },
    }
    for size, table in published.items():
        assert CONSTANTS[size] == table


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
@pytest.mark.parametrize("name", ["brightness", "contrast", "defocus_blur"])
def test_deterministic_ones_are_within_a_grey_level(name, severity, size):
    image = photo(size)
    ours = corrupt(image, name, severity)
    expected = reference(image, name, CONSTANTS[size][name][severity - 1])
    # where the exact value is a whole level, float32 may fall on either side of it
    difference = ours.astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.1


@pytest.mark.parametrize(("severity", "size"), SEVERITY_AND_SIZE)
def test_jpeg_and_pixelate_are_pillows_own(severity, size):
    image = photo(size)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=CONSTANTS[size]["jpeg_compression"][severity - 1])
    assert np.array_equal(corrupt(image, "jpeg_compression", severity), np.asarray(Image.open(buffer)))
    side = int(size * CONSTANTS[size]["pixelate"][severity - 1])
    boxed = Image.fromarray(image).resize((side, side), Image.BOX).resize((size, size), Image.BOX)
    assert np.array_equal(corrupt(image, "pixelate", severity), np.asarray(boxed))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_scale(severity):
    """500 grey images; the truncated noise has mean −½ level and the scale within 1 %."""
    images = np.full((500, 32, 32, 3), 128, np.uint8)
    noise = corrupt(images, "gaussian_noise", severity).astype(float) - 128
    assert noise.mean() == pytest.approx(-0.5, abs=0.15)
    scale = CONSTANTS[32]["gaussian_noise"][severity - 1] * 255
    assert noise.std() == pytest.approx(np.hypot(scale, 12**-0.5), rel=0.01)
    rounded = corrupt(images, "gaussian_noise", severity, mode="corrected").astype(float) - 128
    assert rounded.mean() == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_has_its_share(severity):
    changed = corrupt(np.full((500, 32, 32, 3), 128, np.uint8), "impulse_noise", severity)
    amount = CONSTANTS[32]["impulse_noise"][severity - 1]
    for level in (0, 255):  # 1.5 million elements: 5 standard deviations
        assert (changed == level).mean() == pytest.approx(amount / 2, abs=5 * np.sqrt(amount / 2 / changed.size))
    assert set(np.unique(changed)) == {0, 128, 255}


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_corrupted_alike_in_any_batch(name):
    images = torch.from_numpy(np.stack([np.roll(photo(32), i, 0) for i in range(7)]))
    whole = corrupt(images, name, 4, seed=3)
    parts = torch.cat([corrupt(images[i : i + 3], name, 4, seed=3, first_index=i) for i in (0, 3, 6)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole[5], corrupt(images[5], name, 4, seed=3, first_index=5))
    assert np.array_equal(whole.numpy(), corrupt(images.numpy(), name, 4, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_severities_hurt_more_and_more(name):
    image = photo(64)
    change = [np.abs(corrupt(image, name, s).astype(int) - image).mean() for s in SEVERITIES]
    assert change == sorted(change) and change[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_and_borders_wider_than_the_image(name):
    assert corrupt(photo(32)[..., :1], name, 5).shape == (32, 32, 1)
    assert corrupt(photo(6), name, 5, constants=299).shape == (6, 6, 3)


def test_noise_depends_on_every_part_of_its_key():
    keys = [(0, 0, "a", 1), (1, 0, "a", 1), (0, 1, "a", 1), (0, 0, "b", 1), (0, 0, "a", 2)]
    draws = [ImageKeys(*key, 1, torch.device("cpu")).normal((1000,))[0] for key in keys]
    correlation = torch.corrcoef(torch.stack(draws)) - torch.eye(len(keys))
    assert correlation.abs().max() < 5 / 1000**0.5


def test_the_hash_is_a_generator():
    """Neighbouring keys and places are uncorrelated, values uniform and normal (200,000 draws, level 1e-4)."""
    keys = ImageKeys(0, 0, "gaussian_noise", 1, 200, torch.device("cpu"))
    normal, uniform = keys.normal((1000,)), keys.uniform((1000,))
    assert kstest(normal.flatten().numpy(), norm.cdf).pvalue > 1e-4
    assert kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-4
    for a, b in ((normal[1:], normal[:-1]), (normal[:, 1:], normal[:, :-1])):
        assert abs((a * b).mean().item()) < 5 / a.numel() ** 0.5


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"name": "fogg"}, ValueError, "unknown corruption 'fogg'"),
        ({"severity": 6}, ValueError, "severity is 1 to 5, not 6"),
        ({"mode": "fast"}, ValueError, "'parity' or 'corrected', not 'fast'"),
        ({"constants": 100}, ValueError, "32, 64, 224, 299, not 100"),
        ({"images": np.zeros((4, 4, 3))}, TypeError, "uint8"),
        ({"images": np.zeros((4, 4, 2), np.uint8)}, ValueError, "not (4, 4, 2)"),
    ],
)
def test_bad_arguments_are_named(arguments, kind, message):
    with pytest.raises(kind) as error:
        corrupt(**{"images": np.zeros((4, 4, 3), np.uint8), "name": "contrast", **arguments})
    assert message in str(error.value)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_corrupts_alike(name):
    images = torch.from_numpy(np.stack([photo(32)] * 4))
    on_gpu = corrupt(images.cuda(), name, 3).cpu()
    assert (on_gpu.int() - corrupt(images, name, 3).int()).abs().max() <= 1
