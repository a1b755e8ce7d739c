"""Changes of the sampling rate, and of the length that follow from them."""

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly


def change_rate(clip: np.ndarray, source: int, target: int) -> np.ndarray:
    """(L,) at `source` Hz to (⌈L · target / source⌉,) at `target` Hz, by a polyphase filter against aliasing."""
    ratio = Fraction(target, source)
    return clip if ratio == 1 else resample_poly(clip, ratio.numerator, ratio.denominator)


def fit(clip: np.ndarray, length: int) -> np.ndarray:
    """The first `length` samples, padded with zeros at the end where there are fewer."""
    return np.pad(clip[:length], (0, max(length - len(clip), 0)))
