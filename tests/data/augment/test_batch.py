"""Whole batches are changed as torchvision changes one image, by draws that follow from each image's key."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torchvision.transforms.v2 import functional as F

from hfmix.data.augment.batch import ShiftFlipCut, cut_out_
from hfmix.utils.randomness import hashed_uniforms

ROWS = np.arange(30_000)


def sample(rows=ROWS, seed=0, epoch=0, size=(32, 32), **settings):
    return ShiftFlipCut.sample(rows, seed, epoch, size, **settings)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize("size", [(32, 32), (5, 9)])
def test_the_pixels_are_those_of_torchvision(size, mode):
    images = torch.randint(0, 256, (40, *size, 3), dtype=torch.uint8)
    rows = torch.tensor([7, 39, 0, 7] * 10)
    draw = sample(np.arange(40), size=size, reflect=mode == "reflect")
    assert draw.flip.any() and not draw.flip.all()
    found = draw.apply(images, rows)
    for i, row in enumerate(rows):
        image = images[row].permute(2, 0, 1)
        image = F.horizontal_flip(image) if draw.flip[i] else image
        y, x = (4 - draw.shift[i]).tolist()  # where the crop begins in the padded image
        expected = F.crop(F.pad(image, [4], padding_mode=mode), y, x, *size)
        assert torch.equal(found[i].permute(2, 0, 1), expected)


def test_nothing_moves_without_padding_and_flips():
    images = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8)
    draw = sample(np.arange(6), size=(8, 8), padding=0, flip=False)
    assert torch.equal(draw.apply(images, torch.arange(6)), images) and draw.centre is None


def test_shifts_flips_and_centres_are_uniform_and_independent():
    """30,000 draws at p = 1e-3: a flip that is off by 1.6 points of 50 is found with more than 99 % power."""
    draw = sample(size=(16, 8), cutout=True)
    shift = draw.shift + 4
    joint = torch.stack([shift[:, 0] * 9 + shift[:, 1], draw.flip.long(), draw.centre[:, 0], draw.centre[:, 1]])
    for values, count in zip(joint, (81, 2, 16, 8), strict=True):
        assert values.min() == 0 and values.max() == count - 1
        assert chisquare(np.bincount(values, minlength=count)).pvalue > 1e-3
    correlation = np.corrcoef(torch.cat([draw.shift.T, joint[1:]]).numpy())
    # one correlation of ten beyond 4.5 / sqrt(n) comes once in 15,000 times
    assert np.abs(correlation - np.eye(5)).max() < 4.5 / len(ROWS) ** 0.5


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"rows": ROWS + 1}])
def test_another_key_draws_anew(other):
    """Neighbouring keys agree no more often than chance, one in 81 (six standard deviations of 30,000 draws)."""
    same = (sample().shift == sample(**other).shift).all(1).double().mean()
    assert abs(same - 1 / 81) < 6 * (1 / 81 / len(ROWS)) ** 0.5


def test_an_alternating_flip_mirrors_in_every_other_epoch():
    """One coin an image decides the first epoch: fair at p = 1e-3, another for another seed."""
    flips = [sample(epoch=epoch, alternate=True).flip for epoch in range(4)]
    assert torch.equal(flips[0], ~flips[1]) and torch.equal(flips[0], flips[2]) and torch.equal(flips[1], flips[3])
    assert chisquare(np.bincount(flips[0], minlength=2)).pvalue > 1e-3
    agreeing = (flips[0] == sample(seed=1, alternate=True).flip).double().mean()
    assert abs(agreeing - 0.5) < 6 * 0.5 / len(ROWS) ** 0.5
    assert not sample(alternate=True, flip=False).flip.any()
    assert torch.equal(sample(alternate=True).shift, sample().shift)


def test_images_of_neighbouring_epochs_are_mirror_images():
    images = torch.randint(0, 256, (30, 8, 6, 3), dtype=torch.uint8)
    rows = torch.arange(30)
    settings = {"size": (8, 6), "padding": 0, "alternate": True, "reflect": True}
    even, odd = (sample(rows.numpy(), epoch=epoch, **settings).apply(images, rows) for epoch in (4, 5))
    assert torch.equal(even, odd.flip(2))
    assert 0 < (even == images).flatten(1).all(1).sum() < 30


@pytest.mark.parametrize(("size", "padding"), [((4, 9), 4), ((9, 3), 5)])
def test_a_reflection_needs_pixels_to_reflect(size, padding):
    with pytest.raises(ValueError, match=f"crop_padding {padding} reflects more than an image of"):
        sample(size=size, padding=padding, reflect=True)


def test_what_an_image_gets_does_not_depend_on_the_batch():
    whole, part = sample(cutout=True), sample(ROWS[[5, 4, 3]], cutout=True)
    for name in ("shift", "flip", "centre"):
        assert torch.equal(getattr(whole, name)[[5, 4, 3]], getattr(part, name))


def test_hashed_uniforms_are_uniform_for_neighbouring_rows_and_steps():
    values = hashed_uniforms(4, ROWS, 3, 2)
    assert values.shape == (30_000, 4) and values.min() >= 0 and values.max() < 1
    for column in values.T:
        assert chisquare(np.histogram(column, 50, (0, 1))[0]).pvalue > 1e-3
        assert abs(np.corrcoef(column[1:], column[:-1])[0, 1]) < 4.5 / len(ROWS) ** 0.5


@pytest.mark.parametrize("side", [1, 4, 5, 40])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_square_is_blanked_and_cut_off_at_the_border(side, memory_format):
    pixels = torch.rand(3, 2, 8, 9).add_(1).contiguous(memory_format=memory_format)
    centre = torch.tensor([[0, 0], [4, 5], [7, 8]])
    expected = pixels.clone()
    for image, (y, x) in zip(expected, centre.tolist(), strict=True):
        top, left = y - side // 2, x - side // 2
        image[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
    assert torch.equal(cut_out_(pixels, centre, side), expected)
