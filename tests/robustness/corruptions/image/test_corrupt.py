"""Properties of every corruption of images: keys, batches, shapes, modes, and errors."""

import json
import warnings

import numpy as np
import pytest
import torch
from photos import photo, photos

from hfmix import corrupt, corruption_names
from hfmix.robustness.corruptions.image.constants import CONSTANTS, QUIRKS, SEVERITIES, constant, constants_for

BENCHMARK = [
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
]
EXTRA = ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
# where several constants change at once, not all of them grow or fall with severity
MIXED = ("glass_blur", "snow", "frost", "elastic_transform", "spatter", "saturate")
MONOTONE = [name for name in BENCHMARK + EXTRA if name not in MIXED]
DETERMINISTIC = [
    *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur"),
    "saturate",
]


def test_names_are_in_the_papers_order():
    assert corruption_names() == corruption_names("image") == BENCHMARK
    assert corruption_names("image", extra=True) == BENCHMARK + EXTRA
    with pytest.raises(ValueError, match="not for 'smell'"):
        corruption_names("smell")


def test_constants_are_the_published_ones():
    """Samples from the tables of ImageNet-C's make_*.py; `test_constants_equal_the_reference` has all."""
    assert CONSTANTS[224]["gaussian_noise"] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert CONSTANTS[32]["shot_noise"] == (500, 250, 100, 75, 50)
    assert CONSTANTS[64]["glass_blur"] == ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2))
    assert CONSTANTS[299]["fog"] == ((1.5, 2), (2, 2), (2.5, 1.8), (2.5, 1.6), (3, 1.5))
    assert constant(224, "elastic_transform", 1) == (244 * 2, 244 * 0.7, 244 * 0.1)
    assert constant(224, "elastic_transform", 1, corrected=True) == pytest.approx((224 * 2, 224 * 0.7, 224 * 0.1))
    assert {size: list(table) for size, table in CONSTANTS.items()} == dict.fromkeys(CONSTANTS, BENCHMARK + EXTRA)
    assert [constants_for(side, 500) for side in (47, 48, 143, 144, 261, 262)] == [32, 64, 64, 224, 224, 299]


def test_constants_equal_the_reference(shared_data):
    file = shared_data.parent / "reference" / "corruption_constants.json"
    if not file.is_file():
        pytest.skip(f"no table of constants at {file}")
    reference = json.loads(file.read_text())
    keys = {32: "cifar32", 64: "imagenet64", 224: "imagenet224", 299: "imagenet299"}
    for size, table in CONSTANTS.items():
        for name, ours in table.items():
            theirs = reference[keys[size]][name]
            if name == "zoom_blur":
                ours, theirs = [np.arange(*c) for c in ours], [t["arange_values"] for t in theirs]
            for a, b in zip(ours, theirs, strict=True):
                assert np.allclose(a, b, rtol=1e-9, atol=1e-9), (size, name)


@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
@pytest.mark.parametrize("mode", ["parity", "corrected"])
def test_an_image_is_corrupted_alike_in_any_batch(name, mode):
    images = torch.from_numpy(photos(7, 32))
    whole = corrupt(images, name, 4, seed=3, mode=mode)
    parts = torch.cat([corrupt(images[i : i + 3], name, 4, seed=3, first_index=i, mode=mode) for i in (0, 3, 6)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole[5], corrupt(images[5], name, 4, seed=3, first_index=5, mode=mode))
    assert np.array_equal(whole.numpy(), corrupt(images.numpy(), name, 4, seed=3, mode=mode))
    assert torch.equal(images, torch.from_numpy(photos(7, 32))), "the input was changed"


@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
def test_many_images_are_corrupted_as_one_by_one(name):
    """More than are worked on at once, at a size where products and convolutions choose other routines."""
    images = photos(15, 120, 130)
    whole = corrupt(images, name, 3)
    for i in (0, 7, 14):
        assert np.array_equal(whole[i], corrupt(images[i], name, 3, first_index=i))


@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
def test_what_is_drawn_differs_between_images_and_seeds(name):
    image = photo(48)
    first = corrupt(image, name, 3)
    others = [corrupt(image, name, 3, seed=1), corrupt(image, name, 3, first_index=1)]
    random = name not in DETERMINISTIC
    assert all(np.array_equal(first, other) != random for other in others)


@pytest.mark.parametrize("name", MONOTONE)
def test_severities_hurt_more_and_more(name):
    images = photos(64, 64)
    change = [np.abs(corrupt(images, name, s).astype(int) - images).mean() for s in SEVERITIES]
    assert change == sorted(change) and change[0] > 0


@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
@pytest.mark.parametrize("mode", ["parity", "corrected"])
def test_grey_odd_and_tiny_images(name, mode):
    """Any size will do; a grey image is what its three equal channels give where channels are independent."""
    for size in ((31, 45), (6, 6), (1, 1), (3, 40)):
        colour = photo(*size)
        for constants in (None, 299):
            corrupted = corrupt(colour, name, 5, constants=constants, mode=mode)
            assert corrupted.shape == colour.shape
            assert corrupt(colour[..., :1], name, 5, constants=constants, mode=mode).shape == (*size, 1)
    if name in ("gaussian_blur", "motion_blur", "glass_blur", "fog", "elastic_transform", "zoom_blur", "contrast"):
        grey = np.repeat(photo(31, 45)[..., :1], 3, 2)
        expected = corrupt(grey, name, 3, mode=mode)
        assert np.array_equal(corrupt(grey[..., :1], name, 3, mode=mode), expected[..., :1])


@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
def test_quirks_tell_where_the_modes_differ(name):
    """Beyond the rounding of the last step, the modes differ exactly where QUIRKS says so."""
    images = photos(6, 224)
    difference = np.abs(corrupt(images, name, 2).astype(int) - corrupt(images, name, 2, mode="corrected"))
    if name == "spatter":
        assert difference.max() <= 1  # the slip needs an image without a drop: test_spatter.py
    else:
        assert (difference.max() > 1) == (name in QUIRKS)


def test_every_quirk_is_a_sentence_about_a_corruption():
    assert set(QUIRKS) - {"all"} <= set(BENCHMARK + EXTRA)
    assert all(sentence.endswith(".") and "corrected" in sentence for sentence in QUIRKS.values())


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


def test_arrays_that_cannot_be_written_or_lie_backwards():
    image = photo(32)[::-1, ::-1]
    image.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(corrupt(image, "contrast"), corrupt(image.copy(), "contrast"))
    assert corrupt(np.empty((0, 8, 8, 3), np.uint8), "contrast").shape == (0, 8, 8, 3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", BENCHMARK + EXTRA)
@pytest.mark.parametrize("mode", ["parity", "corrected"])
def test_a_gpu_corrupts_alike(name, mode):
    """Within a level; where a level decides what comes next (a copied pixel, an edge), nearly everywhere."""
    images = torch.from_numpy(photos(4, 64))
    on_gpu = corrupt(images.cuda(), name, 3, mode=mode).cpu()
    difference = (on_gpu.int() - corrupt(images, name, 3, mode=mode).int()).abs()
    assert difference.max() <= 1 or (difference > 1).float().mean() < 1e-3
