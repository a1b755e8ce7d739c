"""Too loud for the recorder.

Each takes a clip (L,) float64, the severity's constant, the sampling rate in Hz and the clip's key, and returns
(L,).
"""

import numpy as np

from hfmix.robustness.corruptions.sounds.keys import SoundKey


def clipping(clip: np.ndarray, share: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """The loudest `share` of the samples cut to one level, whatever the clip's own; exact zeros don't count."""
    loudness = np.abs(clip[clip != 0])
    if len(loudness) == 0:
        return clip
    threshold = np.quantile(loudness, 1 - share)
    return clip.clip(-threshold, threshold)


def gain(clip: np.ndarray, decibels: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Amplified by so many dB and cut at full scale, ±1: a quiet clip is only louder, a loud one is distorted."""
    return (clip * 10 ** (decibels / 20)).clip(-1, 1)
