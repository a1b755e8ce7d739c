"""Rooms, filters, telephones and rates, measured as an acoustician would."""

import math

import numpy as np
import pytest

from hfmix.robustness.corruptions.audio import corrupt_sound
from hfmix.robustness.corruptions.audio.channel import impulse_response
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.audio.keys import SoundKey


def tone(frequency: float, sampling_rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sampling_rate)) / sampling_rate)


def level_at(clip: np.ndarray, frequency: float, sampling_rate: int) -> float:
    """dB of one frequency relative to `tone`, the first and last tenth of the clip left out."""
    part = len(clip) // 10
    middle = clip[part:-part] * np.hanning(len(clip) - 2 * part)
    phase = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / sampling_rate)
    return 20 * math.log10(abs(middle @ phase) / (0.05 * len(middle) / 2))


def measured_rt60(response: np.ndarray, sampling_rate: int) -> float:
    """Schroeder's backward integration, fitted from −5 to −35 dB (ISO 3382's T30)."""
    decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    span = (decay < -5) & (decay > -35)
    return -60 / np.polyfit(np.flatnonzero(span) / sampling_rate, decay[span], 1)[0]


@pytest.mark.parametrize("rt60", CONSTANTS["reverberation"])
@pytest.mark.parametrize("sampling_rate", [8000, 16000])
def test_rooms_have_their_reverberation_time(rt60, sampling_rate):
    """Within 5 % for each of ten rooms and 2 % on average: T30 of noise scatters by 1 to 2 %."""
    measured = []
    for i in range(10):
        key = SoundKey(0, i, "reverberation", 1)
        response = impulse_response(round(2 * rt60 * sampling_rate), rt60, sampling_rate, key)
        measured.append(measured_rt60(response, sampling_rate))
        ratio = 10 * math.log10(1 / np.sum(response[1:] ** 2))
        expected = 10 * math.log10(0.057**2 * 200 / (1.5**2 * rt60))
        assert ratio == pytest.approx(expected, abs=1)  # of a sum of a thousand squares or more, in dB
        assert response[0] == 1
    assert measured == pytest.approx([rt60] * 10, rel=0.05)
    assert np.mean(measured) == pytest.approx(rt60, rel=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_reverberation_keeps_power_and_timing(severity, voice):
    clip = np.concatenate([np.zeros(1000, np.float32), voice(0.5, 16000)])
    wet = corrupt_sound(clip, "reverberation", severity, sampling_rate=16000)
    assert np.mean(wet.astype(float) ** 2) == pytest.approx(np.mean(clip.astype(float) ** 2), rel=1e-5)
    assert np.abs(wet[:1000]).max() < 1e-6  # nothing is heard before the direct sound
    click = np.zeros(8000, np.float32)
    click[2000] = 0.5
    assert np.abs(corrupt_sound(click, "reverberation", severity, sampling_rate=16000)).argmax() == 2000


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("sampling_rate", [8000, 16000, 44100])
def test_low_pass_is_three_decibels_down_at_its_cutoff(severity, sampling_rate):
    """And everywhere else what a Butterworth filter of order 8 under the bilinear transform is."""
    cutoff = CONSTANTS["low_pass"][severity - 1]
    click = np.zeros(sampling_rate)
    click[100] = 1.0
    filtered = corrupt_sound(click, "low_pass", severity, sampling_rate=sampling_rate)
    gain = 20 * np.log10(np.abs(np.fft.rfft(filtered)) + 1e-9)  # one bin a hertz
    assert gain[cutoff] == pytest.approx(-10 * math.log10(2), abs=0.01)
    warped = np.tan(np.pi * np.arange(sampling_rate // 2) / sampling_rate) / np.tan(np.pi * cutoff / sampling_rate)
    expected = -10 * np.log10(1 + warped**16)
    heard = expected > -80
    assert gain[: sampling_rate // 2][heard] == pytest.approx(expected[heard], abs=0.01)


@pytest.mark.parametrize("sampling_rate", [8000, 16000, 44100])
def test_telephone_is_three_decibels_down_at_both_ends(sampling_rate):
    """At 8 bits, whose steps change a tone's level by less than 0.2 dB."""
    low, high, _ = CONSTANTS["telephone"][0]
    levels = {}
    for frequency in (100, low, 1000, high):
        sound = corrupt_sound(tone(frequency, sampling_rate), "telephone", 1, sampling_rate=sampling_rate)
        levels[frequency] = level_at(sound, frequency, sampling_rate)
    assert levels[1000] == pytest.approx(0, abs=0.2)
    # the filter that changes the rate takes a little more away close to 4 kHz
    assert levels[low] == pytest.approx(-3, abs=0.2) and levels[high] == pytest.approx(-3, abs=0.5)
    assert levels[100] < -20
    if sampling_rate > 8000:
        above = corrupt_sound(tone(5000, sampling_rate), "telephone", 1, sampling_rate=sampling_rate)
        assert level_at(above, 5000, sampling_rate) < -40


@pytest.mark.parametrize("severity", SEVERITIES)
def test_telephone_leaves_the_levels_of_its_bits(severity, voice):
    """At 8 kHz, where nothing is resampled: an odd number of levels, and the same ones for a quiet clip."""
    bits = CONSTANTS["telephone"][severity - 1][2]
    clip = voice(1.0, 8000)
    loud, quiet = (
        corrupt_sound(c, "telephone", severity, sampling_rate=8000) for c in (clip, (clip / 64).astype(np.float32))
    )
    assert 2 ** (bits - 1) < len(np.unique(loud)) <= 2**bits - 1
    assert np.abs(loud / 64 - quiet).max() < 1e-6


def test_resampling_folds_high_frequencies_back():
    """From 16 to 8 kHz, where every second sample is kept: 5 kHz is heard at 3 kHz, as loud; 500 Hz stays."""
    folded = corrupt_sound(tone(5000, 16000), "resampling", 2, sampling_rate=16000)
    assert np.abs(np.fft.rfft(folded)).argmax() == 3000
    assert np.array_equal(folded[::2], tone(5000, 16000)[::2])
    kept = corrupt_sound(tone(500, 16000), "resampling", 2, sampling_rate=16000)
    assert level_at(kept, 500, 16000) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_resampling_leaves_straight_lines_between_the_kept_samples(severity):
    fraction = CONSTANTS["resampling"][severity - 1]
    ramp = np.linspace(-0.5, 0.5, 1001)
    last = int(int(1001 * fraction) / fraction) - 8  # after the last kept sample the line ends
    through = corrupt_sound(ramp, "resampling", severity, sampling_rate=8000)
    assert np.abs(through - ramp)[:last].max() < 1e-12
    random = np.random.default_rng(0).uniform(-1, 1, 1000)
    bends = np.abs(np.diff(corrupt_sound(random, "resampling", severity, sampling_rate=8000), 2)) > 1e-9
    # the output has a bend beside each kept sample: one or two places of the second difference
    assert fraction * 0.9 < bends.mean() <= min(2 * fraction, 1)
