"""On real words, every severity changes a clip more than the one before."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from hfmix.robustness.corruptions.audio import AUDIO, corrupt_sound
from hfmix.robustness.corruptions.audio.constants import SEVERITIES


def log_spectral_distance(clip: np.ndarray, other: np.ndarray, sampling_rate: int) -> float:
    """In dB: the root mean square over frames of 32 ms and frequencies, what is 50 dB below the peak left out."""
    window = np.hanning(round(0.032 * sampling_rate))

    def power(samples: np.ndarray) -> np.ndarray:
        frames = sliding_window_view(np.pad(samples, (0, len(window))), len(window))[:: len(window) // 2]
        return np.abs(np.fft.rfft(frames * window)) ** 2

    first, second = power(clip), power(other)
    floor = first.max() * 1e-5
    return float(np.sqrt(np.mean((10 * np.log10((first + floor) / (second + floor))) ** 2)))


@pytest.mark.parametrize("name", [name for name in AUDIO if name != "time_shift"])
def test_severities_hurt_more_and_more(name, words):
    """By 2 % a step on average at least; the first step is neither nothing nor ruin, the last one is felt."""
    clips, sampling_rate = words
    clips = clips * (6 if name == "speed" else 1)  # up or down is a toss of a coin: enough tosses for an average
    distance = np.array(
        [
            [log_spectral_distance(a, b, sampling_rate) for a, b in zip(clips, corrupted, strict=True)]
            for corrupted in (corrupt_sound(clips, name, s, sampling_rate=sampling_rate) for s in SEVERITIES)
        ]
    )
    mean = distance.mean(1)
    assert (mean[1:] > 1.02 * mean[:-1]).all(), mean
    assert mean[0] > 0.5 and mean[0] < 8 and mean[4] > 1.7, mean
    assert (distance[1:] > distance[:-1]).mean() > 0.7


def test_a_longer_shift_loses_more(words):
    """The spectral distance of a shift saturates; the power that leaves the clip doesn't."""
    clips, sampling_rate = words
    lost = []
    for severity in SEVERITIES:
        shifted = corrupt_sound(clips, "time_shift", severity, sampling_rate=sampling_rate)
        lost.append(1 - np.mean([np.sum(b**2) / np.sum(a**2) for a, b in zip(clips, shifted, strict=True)]))
    assert lost == sorted(lost) and lost[4] > 0.05, lost
