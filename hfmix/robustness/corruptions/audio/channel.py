"""Corruptions of the channel from mouth to model: reverberation, low-pass filter, telephone, naive resampling.

Each takes a clip (L,) float64, the severity's constant, the sampling rate in Hz and the clip's key, and returns
(L,).
"""

import math
from fractions import Fraction

import numpy as np
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from hfmix.robustness.corruptions.audio.keys import SoundKey
from hfmix.robustness.corruptions.audio.level import with_power_of

_ROOM = 200.0  # m³: a classroom
_DISTANCE = 1.5  # m, from the source to the microphone
_TELEPHONE_RATE = 8000
_MU = 255


def reverberation(clip: np.ndarray, rt60: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Adds the echo of a room where sound takes `rt60` seconds to fall by 60 dB; keeps power and timing."""
    response = impulse_response(min(math.ceil(rt60 * sampling_rate), len(clip)), rt60, sampling_rate, key)
    return with_power_of(clip, fftconvolve(clip, response)[: len(clip)])


def impulse_response(taps: int, rt60: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Draws a room's impulse response, (taps,): direct sound of 1, then decaying noise (Polack 1988).

    The noise is Gaussian and decays exponentially. The ratio of direct to reverberant sound is that of a room of
    200 m³ at 1.5 m, by Sabine's theory of the diffuse field: equal at the distance 0.057 √(volume / RT60)
    (Kuttruff, Room Acoustics). That is 0.6 dB at an RT60 of 0.25 s and −7.4 dB at 1.6 s.
    """
    time = np.arange(taps) / sampling_rate
    reverberant = _DISTANCE**2 * rt60 / (0.057**2 * _ROOM)  # energy; the direct sound's is 1
    decay = 3 * math.log(10) / rt60  # of the amplitude; the first tap has 2 decay / rate of the energy
    start = math.sqrt(reverberant * 2 * decay / sampling_rate)
    response = start * np.exp(-decay * time) * key.normal(taps)
    response[0] = 1.0
    return response


def low_pass(clip: np.ndarray, cutoff: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Applies an eighth-order Butterworth filter, −3 dB at `cutoff` Hz: speech through a mask, a pocket or a door.

    The cut-off is in hertz and not a share of the sampling rate, as for a real mask; even the highest is below
    4 kHz, so that no clip passes unchanged.
    """
    return sosfilt(butter(8, cutoff, "low", fs=sampling_rate, output="sos"), clip)


def telephone(clip: np.ndarray, band_and_bits: tuple, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Simulates a telephone line: at 8 kHz, a band-pass in Hz, −3 dB at both ends, and µ-law of the given bits.

    The result is back at the clip's own rate. A clip at 8 kHz is not resampled; the band-pass and µ-law change it
    all the same. The peak is scaled to full scale before quantising, so that quiet clips have as many levels as
    loud ones.
    """
    low, high, bits = band_and_bits
    line = change_rate(clip, sampling_rate, _TELEPHONE_RATE)
    line = sosfilt(butter(4, (low, high), "bandpass", fs=_TELEPHONE_RATE, output="sos"), line)
    return fit(change_rate(_mu_law(line, bits), _TELEPHONE_RATE, sampling_rate), len(clip))


def resampling(clip: np.ndarray, fraction: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Interpolates linearly down to a fraction of the sampling rate and up again, without a filter.

    Frequencies above half the lower rate fold back (aliasing), as in a pipeline that resamples with `interp`: the
    counterpart of pixelated images. The fraction is of the clip's own rate: 0.5 leaves 8 of 16 kHz.
    """
    kept = max(round(len(clip) * fraction), 1)
    few = np.interp(np.arange(kept) / fraction, np.arange(len(clip)), clip)
    return np.interp(np.arange(len(clip)) * fraction, np.arange(kept), few)


def _mu_law(clip: np.ndarray, bits: int) -> np.ndarray:
    """Compands with µ = 255 as in ITU-T G.711, rounds to 2^bits − 1 levels, one of them zero, and expands."""
    peak = np.abs(clip).max()
    levels = 2 ** (bits - 1) - 1
    companded = np.log1p(_MU * np.abs(clip) / peak) / math.log1p(_MU)
    return np.sign(clip) * np.expm1(np.round(companded * levels) / levels * math.log1p(_MU)) / _MU * peak


def change_rate(clip: np.ndarray, source: int, target: int) -> np.ndarray:
    """Resamples (L,) at `source` Hz to (⌈L · target / source⌉,) at `target` Hz; polyphase, anti-aliased."""
    ratio = Fraction(target, source)
    return clip if ratio == 1 else resample_poly(clip, ratio.numerator, ratio.denominator)


def fit(clip: np.ndarray, length: int) -> np.ndarray:
    """Cuts the clip to `length` samples, or pads it with zeros at the end."""
    return np.pad(clip[:length], (0, max(length - len(clip), 0)))
