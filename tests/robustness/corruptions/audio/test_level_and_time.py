"""Clipping, gain, shifts and speeds, exactly."""

from fractions import Fraction

import numpy as np
import pytest

from hfmix.robustness.corruptions.audio import corrupt_sound
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, SEVERITIES

RATE = 16000


@pytest.mark.parametrize("severity", SEVERITIES)
def test_clipping_cuts_its_share_and_keeps_the_power(severity, voice):
    share = CONSTANTS["clipping"][severity - 1]
    clip = voice(1.0, RATE)
    padded = np.concatenate([clip, np.zeros_like(clip)])  # zeros don't count
    cut = corrupt_sound(padded, "clipping", severity, sampling_rate=RATE)
    at_the_top = np.abs(cut) > np.abs(cut).max() * (1 - 1e-6)
    assert at_the_top.sum() == pytest.approx(share * np.count_nonzero(clip), abs=2)
    assert np.mean(cut.astype(float) ** 2) == pytest.approx(np.mean(padded.astype(float) ** 2), rel=1e-5)
    assert np.abs(cut).max() < np.abs(clip).max()
    rest = ~at_the_top & (np.abs(padded) > 1e-3)
    assert np.ptp(cut[rest] / padded[rest]) < 1e-3  # the shape of the rest is kept
    halved = corrupt_sound(padded / 2, "clipping", severity, sampling_rate=RATE)
    assert np.abs(halved - cut / 2).max() < 1e-6


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gain_amplifies_up_to_full_scale(severity, voice):
    clip = voice(0.5, RATE)
    factor = 10 ** (CONSTANTS["gain"][severity - 1] / 20)
    loud = corrupt_sound(clip, "gain", severity, sampling_rate=RATE)
    below = np.abs(clip) * factor < 1
    assert loud[below] == pytest.approx(clip[below] * factor, rel=1e-5)
    assert np.array_equal(loud[~below], np.sign(clip[~below]))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_shift_moves_the_clip_and_fills_with_zeros(severity, voice):
    clip = voice(0.5, RATE)
    distance = round(CONSTANTS["time_shift"][severity - 1] * len(clip))
    early = np.append(clip[distance:], np.zeros(distance, np.float32))
    late = np.append(np.zeros(distance, np.float32), clip[:-distance])
    shifted = corrupt_sound([clip] * 40, "time_shift", severity, sampling_rate=RATE)
    found = [(np.array_equal(s, early), np.array_equal(s, late)) for s in shifted]
    assert all(sum(pair) == 1 for pair in found)
    assert 5 < sum(is_early for is_early, _ in found) < 35  # a fair coin: outside with probability 2e-6


@pytest.mark.parametrize("severity", SEVERITIES)
def test_speed_moves_a_tone_by_its_factor(severity):
    """Pitch by the peak of the spectrum within 0.5 %, tempo by the length of a burst, the middle in its place."""
    factor = CONSTANTS["speed"][severity - 1]
    time = (np.arange(RATE) - RATE / 2) / RATE
    burst = 0.5 * np.sin(2 * np.pi * 1000 * time) * (np.abs(time) < 0.15)
    ratios = []
    for result in corrupt_sound([burst] * 40, "speed", severity, sampling_rate=RATE):
        spectrum = np.abs(np.fft.rfft(result, 4 * RATE))
        ratio = spectrum.argmax() / 4 / 1000
        heard = np.flatnonzero(np.abs(result) > 0.05)
        assert (heard[-1] - heard[0]) / RATE == pytest.approx(0.3 / ratio, rel=0.01)
        assert abs(heard[0] + heard[-1] - RATE) / 2 < 8
        ratios.append(ratio)
    expected = [factor if ratio > 1 else 1 / factor for ratio in ratios]
    assert ratios == pytest.approx(expected, rel=0.005)
    assert 5 < sum(ratio > 1 for ratio in ratios) < 35


def test_a_faster_clip_is_padded_on_both_sides():
    clip = np.full(1400, 0.5)
    factor = Fraction(str(CONSTANTS["speed"][4]))
    faster = [c for c in corrupt_sound([clip] * 8, "speed", 5, sampling_rate=RATE) if c[0] == 0]
    assert faster
    for result in faster:
        heard = np.flatnonzero(result)
        assert len(heard) == 1400 / factor and abs(heard[0] - (1399 - heard[-1])) <= 1


def test_directions_are_tossed_fairly():
    """2000 clips, 5 standard deviations."""
    clip = np.array([0.0, 0.5, 0.0])
    shifted = corrupt_sound([clip] * 2000, "time_shift", 5, sampling_rate=RATE)
    assert sum(s[0] > 0 for s in shifted) == pytest.approx(1000, abs=5 * (2000**0.5) / 2)
