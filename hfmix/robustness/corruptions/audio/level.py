"""Recordings that are too loud: clipping and gain.

Each takes a clip (L,) float64, the severity's constant, the sampling rate in Hz and the clip's key, and returns
(L,).
"""

import numpy as np

from hfmix.robustness.corruptions.audio.keys import SoundKey


def clipping(clip: np.ndarray, share: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Clips the loudest `share` of the samples to one level, then restores the clip's power.

    Exact zeros are silence and do not count. The power is kept so that clipping distorts and does nothing else;
    the peak stays at or below the clip's.
    """
    threshold = np.quantile(np.abs(clip[clip != 0]), 1 - share)
    return with_power_of(clip, clip.clip(-threshold, threshold))


def gain(clip: np.ndarray, decibels: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Amplifies in dB and clips at full scale, ±1: a quiet clip is only louder, a loud one is distorted."""
    return (clip * 10 ** (decibels / 20)).clip(-1, 1)


def with_power_of(clip: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Scales `changed` to the mean square of `clip`."""
    return changed * np.sqrt(np.mean(clip**2) / np.mean(changed**2))
