"""The noises' distributions, against scipy's, over 500 images and more."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2, poisson

from hfmix import corrupt
from hfmix.robustness.corruptions.image.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.image.noise import _alias_tables, poisson_counts
from hfmix.utils.keyed_noise import ImageKeys

GREY = np.full((500, 32, 32, 3), 128, np.uint8)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_scale(severity):
    """The truncated noise has mean -½ level and the scale within 1 %."""
    noise = corrupt(GREY, "gaussian_noise", severity).astype(float) - 128
    assert noise.mean() == pytest.approx(-0.5, abs=0.15)
    scale = CONSTANTS[32]["gaussian_noise"][severity - 1] * 255
    assert noise.std() == pytest.approx(np.hypot(scale, 12**-0.5), rel=0.01)
    rounded = corrupt(GREY, "gaussian_noise", severity, mode="corrected").astype(float) - 128
    assert rounded.mean() == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_speckle_noise_grows_with_the_level(severity):
    scale = CONSTANTS[32]["speckle_noise"][severity - 1]
    for level in (0, 40, 120):
        images = np.full((500, 32, 32, 1), level, np.uint8)
        noise = corrupt(images, "speckle_noise", severity, mode="corrected").astype(float) - level
        expected = np.hypot(scale * level, 12**-0.5) if level else 0
        assert noise.std() == pytest.approx(expected, rel=0.01)  # 5 standard deviations of 512,000 draws
        assert noise.mean() == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_has_its_share(severity):
    changed = corrupt(GREY, "impulse_noise", severity)
    amount = CONSTANTS[32]["impulse_noise"][severity - 1]
    for level in (0, 255):  # 1.5 million elements: 5 standard deviations
        assert (changed == level).mean() == pytest.approx(amount / 2, abs=5 * np.sqrt(amount / 2 / changed.size))
    assert set(np.unique(changed)) == {0, 128, 255}


@pytest.mark.parametrize("photons", sorted({c for table in CONSTANTS.values() for c in table["shot_noise"]}))
def test_alias_tables_hold_the_poisson_distribution(photons):
    """Summing each column's two halves gives back scipy's probabilities, to the tables' 2⁻²³ per column."""
    keep, alias = (table.numpy() for table in _alias_tables(photons))
    size = keep.shape[1]
    kept = keep / (2**32 // size)
    for level in (0, 1, 17, 128, 254, 255):
        ours = np.bincount(alias[level], (1 - kept[level]) / size, minlength=size) + kept[level] / size
        counts = np.arange(photons)
        expected = poisson.pmf(counts, level * photons / 255)
        assert np.allclose(ours[:photons], expected, atol=1e-6)
        assert ours[photons] == pytest.approx(1 - expected.sum(), abs=1e-6)
        assert np.allclose(ours[photons + 1 :], 0)


@pytest.mark.parametrize("photons", [3, 60, 500])
def test_shot_noise_draws_from_them(photons):
    """Chi-squared over 512,000 draws at the level 1e-5."""
    bits = ImageKeys(0, 0, "shot_noise", 1, 500, torch.device("cpu")).bits((1024,))
    counts = poisson_counts(torch.full((500, 1024), 100, dtype=torch.uint8), photons, bits).flatten().numpy()
    mean = 100 * photons / 255
    observed = np.bincount(counts, minlength=photons + 1)
    expected = poisson.pmf(np.arange(photons + 1), mean) * counts.size
    expected[photons] = poisson.sf(photons - 1, mean) * counts.size
    often = expected > 10
    statistic = ((observed - expected)[often] ** 2 / expected[often]).sum()
    assert chi2.sf(statistic, often.sum() - 1) > 1e-5
    assert observed[~often].sum() < 10 * max(len(expected), 10)


def test_shot_noise_scales_its_counts():
    images = np.full((500, 32, 32, 1), 102, np.uint8)  # 0.4 of white: 1.2 photons of 3, so levels 0, 85, 170, 255
    levels = corrupt(images, "shot_noise", 5, constants=224)
    share = [(levels == level).mean() for level in (0, 85, 170, 255)]
    expected = [*poisson.pmf([0, 1, 2], 1.2), poisson.sf(2, 1.2)]
    assert share == pytest.approx(expected, abs=5 * 0.5 / levels.size**0.5)
