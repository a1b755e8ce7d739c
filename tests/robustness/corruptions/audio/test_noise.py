"""Noise: its ratio to the signal exactly, its distribution, its spectrum and its rhythm."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import kstest

from hfmix.robustness.corruptions.audio import corrupt_sound
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, LTASS, SEVERITIES
from hfmix.robustness.corruptions.audio.keys import SoundKey
from hfmix.robustness.corruptions.audio.noise import pink_noise, synthetic_babble, white_noise

NOISES = {"white_noise": white_noise, "pink_noise": pink_noise, "synthetic_babble": synthetic_babble}


def noise(name: str, seconds: float, sampling_rate: int = 16000, index: int = 0) -> np.ndarray:
    """The noise alone, with a power of one: what is added to an alternating ±1 at 0 dB."""
    clip = np.tile([1.0, -1.0], round(seconds * sampling_rate) // 2)
    return NOISES[name](clip, 0.0, sampling_rate, SoundKey(0, index, name, 1)) - clip


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_ratio_is_the_one_asked_for(name, severity, voice):
    """Within 0.01 dB, in float32; the clips are quiet, so that nothing is cut at full scale."""
    for sampling_rate in (8000, 22050):
        clips = [voice(seconds, sampling_rate) / 10 for seconds in (0.05, 0.313, 1.0)]
        for clip, noisy in zip(
            clips, corrupt_sound(clips, name, severity, sampling_rate=sampling_rate), strict=True
        ):
            added = noisy.astype(float) - clip
            snr = 10 * np.log10(np.mean(clip.astype(float) ** 2) / np.mean(added**2))
            assert snr == pytest.approx(CONSTANTS[name][severity - 1], abs=0.01)


def test_white_noise_is_normal_and_uncorrelated():
    """160,000 draws: Kolmogorov-Smirnov at level 1e-4; lags 1 to 50 within 5 standard deviations."""
    draws = noise("white_noise", 10)
    assert kstest(draws, "norm").pvalue > 1e-4
    lags = [np.mean(draws[lag:] * draws[:-lag]) for lag in range(1, 51)]
    assert np.abs(lags).max() < 5 / len(draws) ** 0.5


def test_pink_noise_is_normal():
    """One draw in each of 2000 clips, since those within one clip are correlated; level 1e-4."""
    draws = [noise("pink_noise", 0.02, index=i)[100] for i in range(2000)]
    assert kstest(draws, "norm").pvalue > 1e-4


@pytest.mark.parametrize(("name", "slope"), [("white_noise", 0.0), ("pink_noise", -10 * np.log10(2))])
def test_noise_has_its_slope(name, slope):
    """dB an octave from 40 Hz to 7 kHz; 0.1 is 4 standard errors of the fit on 30 seconds."""
    frequency, density = welch(noise(name, 30), 16000, nperseg=4096)
    octaves = np.log2(np.geomspace(40, 7000, 30))
    bands = [
        10 * np.log10(density[(frequency >= 2 ** (o - 0.15)) & (frequency < 2 ** (o + 0.15))].mean())
        for o in octaves
    ]
    assert np.polyfit(octaves, bands, 1)[0] == pytest.approx(slope, abs=0.1)


def test_babble_has_the_spectrum_of_speech():
    """The third-octave bands of Byrne et al. from 100 Hz to 6.3 kHz, over 20 seconds.

    Within 0.7 dB on average and 2 dB at most: at the spectrum's corners interpolation across a band costs 1 dB.
    """
    frequency, density = welch(noise("synthetic_babble", 20), 16000, nperseg=4096)
    bands = {centre: level for centre, level in LTASS if 100 <= centre <= 6300}
    power = [density[(frequency > c * 2 ** (-1 / 6)) & (frequency < c * 2 ** (1 / 6))].sum() for c in bands]
    difference = 10 * np.log10(power) - list(bands.values())
    assert np.abs(difference - difference.mean()).max() < 2
    assert np.abs(difference - difference.mean()).mean() < 0.7


def test_babble_has_the_rhythm_of_syllables():
    """Its level varies at 1 to 8 Hz several times as much as that of steady noise, and above 16 Hz as much."""

    def modulation(samples: np.ndarray) -> tuple[float, float]:
        level = np.sqrt(np.mean(samples.reshape(-1, 160) ** 2, axis=1))  # at 100 Hz
        rate, density = welch(level / level.mean(), 100, nperseg=400)
        return density[(rate >= 1) & (rate <= 8)].mean(), density[rate > 16].mean()

    slow, fast = modulation(noise("synthetic_babble", 30))
    steady_slow, steady_fast = modulation(noise("white_noise", 30))
    assert slow > 5 * steady_slow
    assert slow > 5 * fast and fast > steady_fast


@pytest.mark.parametrize("name", NOISES)
def test_neighbouring_clips_have_independent_noise(name):
    """Over 20 pairs of a second; 5 standard deviations, wider as the spectrum is narrower."""
    draws = [noise(name, 1, index=i) for i in range(21)]
    correlation = [np.mean(a * b) for a, b in pairwise(draws)]
    spread = {"white_noise": 1, "pink_noise": 3, "synthetic_babble": 4}[name] / 16000**0.5
    assert np.abs(correlation).max() < 5 * spread
