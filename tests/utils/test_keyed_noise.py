"""The counter-based hash as a generator: its values, and their independence along every part of the key.

Bounds are at 5 standard deviations or a p-value of 1e-5; with a million draws a bias of 1 % of a cell in 256, or a
correlation of 0.01, would stand 10 standard deviations out.
"""

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest, norm

from hfmix.utils.keyed_noise import ImageKeys

CPU = torch.device("cpu")


def keys(count=1, seed=0, first=0, name="gaussian_noise", severity=1) -> ImageKeys:
    return ImageKeys(seed, first, name, severity, count, CPU)


def chi_squared(cells: np.ndarray, count: int) -> float:
    """The p-value of `cells`, integers below `count`, being uniform."""
    expected = cells.size / count
    statistic = ((np.bincount(cells.ravel(), minlength=count) - expected) ** 2).sum() / expected
    return float(chi2.sf(statistic, count - 1))


@pytest.mark.parametrize("byte", range(4))
def test_bytes_are_uniform(byte):
    bits = keys(1000).bits((1000,)).numpy().view(np.uint32)
    assert chi_squared((bits >> 8 * byte) & 0xFF, 256) == pytest.approx(
        0.5, abs=0.5 - 1e-5
    )  # too even is wrong too


def test_uniform_and_normal_have_their_distributions():
    draws = keys(1000)
    assert kstest(draws.uniform((500,)).flatten().numpy(), "uniform").pvalue > 1e-5
    assert kstest(draws.normal((500,), stream=1).flatten().numpy(), norm.cdf).pvalue > 1e-5
    uniform = keys(100).uniform((1 << 18,))  # enough to meet the last of its 2²⁴ steps, which must not round to 1
    assert 0 <= uniform.min() < 1e-6 and 1 - 1e-6 < uniform.max() < 1
    moments = [(draws.normal((1000,)).double() ** k).mean().item() for k in (1, 2, 3, 4)]
    # the moments' own variances are 1, 2, 15 and 96
    for moment, expected, variance in zip(moments, (0, 1, 0, 3), (1, 2, 15, 96), strict=True):
        assert moment == pytest.approx(expected, abs=5 * (variance / 1e6) ** 0.5)


NEIGHBOURS = {
    "place": lambda: (keys(1000).bits((1001,))[:, :-1], keys(1000).bits((1001,))[:, 1:]),
    "row of 224": lambda: (keys(1000).bits((1224,))[:, :-224], keys(1000).bits((1224,))[:, 224:]),
    "image": lambda: (keys(1000).bits((1000,)), keys(1000, first=1).bits((1000,))),
    "far image": lambda: (keys(1000).bits((1000,)), keys(1000, first=1 << 32).bits((1000,))),
    "seed": lambda: (keys(1000).bits((1000,)), keys(1000, seed=1).bits((1000,))),
    "severity": lambda: (keys(1000).bits((1000,)), keys(1000, severity=2).bits((1000,))),
    "corruption": lambda: (keys(1000).bits((1000,)), keys(1000, name="shot_noise").bits((1000,))),
    "stream": lambda: (keys(1000).bits((1000,)), keys(1000).bits((1000,), stream=1)),
}


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_neighbours_are_independent(neighbours):
    """Pairs are uncorrelated, uniform on a 16 × 16 grid by their high and their low bits, and differ in half the
    bits."""
    a, b = (side.numpy().view(np.uint32).ravel() for side in NEIGHBOURS[neighbours]())
    correlation = np.corrcoef(a.astype(float), b.astype(float))[0, 1]
    assert abs(correlation) < 5 / a.size**0.5
    assert chi_squared((a >> 28) * 16 + (b >> 28), 256) > 1e-5
    assert chi_squared((a & 15) * 16 + (b & 15), 256) > 1e-5
    different = np.unpackbits((a ^ b).view(np.uint8).reshape(-1, 4), axis=1).mean(0)
    assert np.abs(different - 0.5).max() < 5 * 0.5 / a.size**0.5


def test_serial_correlation_vanishes_at_every_lag():
    """All circular lags of one long image by its spectrum; the largest of 2¹⁸ is below 6 standard deviations."""
    noise = keys().normal((1 << 19,))[0].double().numpy()
    lags = np.fft.irfft(np.abs(np.fft.rfft(noise)) ** 2)[1 : 1 << 18] / noise.size
    assert np.abs(lags).max() < 6 / noise.size**0.5
    assert lags.std() == pytest.approx(noise.size**-0.5, rel=0.02)


def test_the_same_key_gives_the_same_values():
    """Also in a later version: seeds in published reports must go on meaning the same draws."""
    assert torch.equal(keys(5).bits((7,), stream=2)[3], keys(first=3).bits((7,), stream=2)[0])
    assert keys(seed=1, first=2, severity=3).bits((4,))[0].tolist() == [
        -1303201630,
        -921765161,
        1317105071,
        1746633042,
    ]
