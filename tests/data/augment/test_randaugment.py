"""RandAugment of whole batches is timm's of one image after the other: level for level, and as often."""

import platform
import random

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare, kstest, norm
from timm.data.auto_augment import AugmentOp

from hfmix.data.arguments import DataArguments
from hfmix.data.augment.batch import ShiftFlipCut
from hfmix.data.augment.randaugment import MAGNITUDE_MAX, OPERATIONS, BatchRandAugment
from hfmix.data.splits import load_splits

ROWS = np.arange(30_000)
# Pillow built for other processors may multiply and add in one rounding, and then cut off to the level beside
TOLERANCE = 0 if platform.machine() in ("x86_64", "AMD64") else 1


def by_timm(name, images, magnitude, seed):
    """One image after the other by timm's own operation; also which way each goes, of which `seed` decides."""
    ways, changed = [], []
    for i, (image, strength) in enumerate(zip(images, magnitude, strict=True)):
        random.seed(seed + i)
        ways.append(random.random() > 0.5)  # timm's first draw
        random.seed(seed + i)
        operation = AugmentOp(name, prob=1.0, magnitude=strength, hparams={"magnitude_max": MAGNITUDE_MAX})
        changed.append(np.asarray(operation(Image.fromarray(image))))
    return torch.tensor(ways), np.stack(changed)


def check(name, images, seed=0):
    """On magnitudes from 0 to beyond the largest, both ways."""
    magnitude = np.resize(np.linspace(0, 10, 101), len(images))
    weaker, expected = by_timm(name, images, magnitude, seed)
    assert weaker.any() and not weaker.all()
    count = len(images)
    draw = BatchRandAugment(
        operation=torch.full((count, 1), list(OPERATIONS).index(name)),
        applied=torch.ones(count, 1, dtype=torch.bool),
        magnitude=torch.from_numpy(magnitude).clamp(max=MAGNITUDE_MAX)[:, None],
        weaker=weaker[:, None],
    )
    levels = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    found = draw.apply(levels).numpy().reshape(expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(32, 32), (17, 40), (3, 3), (1, 9), (16, 16, "grey")], ids=str)
def test_levels_are_those_of_pillow(name, size):
    """Noise of every range of levels, one level alone, and an image that is dark but for one pixel."""
    rng = np.random.default_rng(0)
    shape = (101, *size, 3) if len(size) == 2 else (101, *size[:2])
    low, width = rng.integers(0, 256, 101), rng.integers(0, 257, 101)
    low[:20], width[:20] = 0, 256
    bounds = [extent.reshape(-1, *[1] * (len(shape) - 1)) for extent in (low, np.minimum(width, 256 - low))]
    images = (bounds[0] + rng.random(shape) * bounds[1]).astype(np.uint8)
    images[30], images[40], images[50] = 0, 255, 7
    images[50, 0, 0] = 200
    check(name, images)


@pytest.mark.parametrize("name", OPERATIONS)
def test_photographs_come_out_as_of_pillow(name, shared_data):
    arguments = DataArguments(train_file=[str(shared_data / "cifar10/test.parquet")], max_train_samples=202)
    images = load_splits(arguments, seed=0)["train"]
    check(name, np.stack([np.asarray(images.example(i)) for i in range(len(images))]), seed=7)


def test_layers_follow_each_other_and_half_of_them_do_nothing():
    """Each image of a batch as timm's operations one after the other, where the draw says so."""
    images = np.random.default_rng(1).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    draw = BatchRandAugment.sample(np.arange(300), 0, 0, num_layers=3)
    before = torch.from_numpy(images.copy())
    found = draw.apply(before).numpy()
    assert np.array_equal(before.numpy(), images)
    for i, image in enumerate(images):
        expected = image
        for layer in range(3):
            if draw.applied[i, layer]:
                name, strength = list(OPERATIONS)[draw.operation[i, layer]], float(draw.magnitude[i, layer])
                seed = next(s for s in range(99) if (random.Random(s).random() > 0.5) == draw.weaker[i, layer])
                expected = by_timm(name, [expected], [strength], seed)[1][0]
        assert np.abs(found[i].astype(int) - expected).max() <= TOLERANCE * 3
    untouched = ~draw.applied.any(1)
    assert np.array_equal(found[untouched], images[untouched]) and untouched.sum() > 10


def test_nothing_to_do_gives_the_images():
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    draw = BatchRandAugment.sample(np.arange(4), 0, 0)
    idle = BatchRandAugment(draw.operation, torch.zeros(4, 2, dtype=torch.bool), draw.magnitude, draw.weaker)
    assert torch.equal(idle.apply(images), images)


def test_operations_are_drawn_evenly_with_replacement_and_applied_every_second_time():
    """30,000 draws at p = 1e-3: an operation of 11 % in place of 10, or one way or layer of 51.4 % in place of 50,
    is found with about 90 % power; all 100 pairs of two layers, equal ones among them, come alike."""
    draw = BatchRandAugment.sample(ROWS, 0, 0)
    pairs = draw.operation[:, 0] * 10 + draw.operation[:, 1]
    assert chisquare(np.bincount(pairs, minlength=100)).pvalue > 1e-3
    for layer in range(2):
        for values, count in ((draw.operation, 10), (draw.applied.long(), 2), (draw.weaker.long(), 2)):
            assert chisquare(np.bincount(values[:, layer], minlength=count)).pvalue > 1e-3


@pytest.mark.parametrize("magnitude", [0, 5, 9, 10])
def test_magnitudes_are_normal_and_cut_off(magnitude):
    """Kolmogorov-Smirnov on 60,000 at p = 1e-3 finds a mean that is off by 0.015 with more than 90 % power."""
    found = BatchRandAugment.sample(ROWS, 1, 2, magnitude).magnitude.flatten().numpy()
    assert found.min() >= 0 and found.max() <= MAGNITUDE_MAX
    inside = found[(found > 0) & (found < MAGNITUDE_MAX)]
    low, high = norm.cdf([0, MAGNITUDE_MAX], magnitude, 0.5)
    assert kstest(inside, lambda x: (norm.cdf(x, magnitude, 0.5) - low) / (high - low)).pvalue > 1e-3
    share = (high - low) if magnitude else 0.5
    assert abs(len(inside) / len(found) - share) < 3.3 * (share * (1 - share) / len(found)) ** 0.5 + 1e-4


def test_draws_are_independent_of_each_other_and_of_shifts_and_flips():
    """Of some 100 correlations, one beyond 4.5 / sqrt(n) comes once in 1,500 times."""
    draw, shift = BatchRandAugment.sample(ROWS, 3, 4), ShiftFlipCut.sample(ROWS, 3, 4, (32, 32), cutout=True)
    parts = [draw.operation, draw.applied, draw.magnitude, draw.weaker, shift.shift, shift.flip, shift.centre]
    columns = torch.cat([part.double().reshape(len(ROWS), -1) for part in parts], 1).T.numpy()
    assert np.abs(np.corrcoef(columns) - np.eye(len(columns))).max() < 4.5 / len(ROWS) ** 0.5


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"rows": ROWS + 1}])
def test_another_key_draws_anew(other):
    """Neighbouring keys agree no more often than chance, one in 100 (six standard deviations)."""
    key = {"rows": ROWS, "seed": 0, "epoch": 0}
    same = (
        (BatchRandAugment.sample(**key).operation == BatchRandAugment.sample(**key | other).operation)
        .all(1)
        .double()
        .mean()
    )
    assert abs(same - 0.01) < 6 * (0.01 / len(ROWS)) ** 0.5


def test_what_an_image_gets_does_not_depend_on_the_batch():
    whole, part = BatchRandAugment.sample(ROWS[:99], 0, 0), BatchRandAugment.sample(ROWS[[5, 4, 3]], 0, 0)
    for name in ("operation", "applied", "magnitude", "weaker"):
        assert torch.equal(getattr(whole, name)[[5, 4, 3]], getattr(part, name))
    images = torch.randint(0, 256, (99, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(whole.apply(images)[[5, 4, 3]], part.apply(images[[5, 4, 3]]))
