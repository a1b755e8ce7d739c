"""Changes of timing: speech that comes too early, too late, too fast or too slowly.

Each takes a clip (L,) float64, the severity's constant, the sampling rate in Hz and the clip's key, and returns
(L,).
"""

from fractions import Fraction

import numpy as np

from hfmix.robustness.corruptions.audio.channel import change_rate, fit
from hfmix.robustness.corruptions.audio.keys import SoundKey


def time_shift(clip: np.ndarray, share: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Shifts by a share of the clip's length, earlier or later at random; fills up with zeros."""
    distance = round(share * len(clip))
    shifted = np.zeros_like(clip)
    if key.coin():
        shifted[: len(clip) - distance] = clip[distance:]
    else:
        shifted[distance:] = clip[: len(clip) - distance]
    return shifted


def speed(clip: np.ndarray, factor: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Plays `factor` times as fast or as slowly, at random: tempo and pitch change together.

    The clip's middle stays in place: a faster clip has zeros on both sides, a slower one loses both ends.
    """
    ratio = Fraction(str(factor))
    if key.coin():
        ratio = 1 / ratio
    played = change_rate(clip, ratio.numerator, ratio.denominator)
    missing = len(clip) - len(played)
    return fit(np.pad(played, (max(missing // 2, 0), 0))[max(-missing // 2, 0) :], len(clip))
