"""The way from the mouth to the model: a room, a muffling obstacle, a telephone, a careless change of rate.

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
    """A room whose sound takes `rt60` seconds to fall by 60 dB; the clip's power and timing are kept."""
    response = impulse_response(min(math.ceil(rt60 * sampling_rate), len(clip)), rt60, sampling_rate, key)
    return with_power_of(clip, fftconvolve(clip, response)[: len(clip)])


def impulse_response(taps: int, rt60: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """The direct sound, 1 at once, then Gaussian noise that decays exponentially (Polack 1988). (taps,)

    Direct and reverberant sound have the ratio of a room of 200 m³ at 1.5 m, by Sabine's theory of the diffuse
    field: equal at the distance 0.057 √(volume / RT60) (Kuttruff, Room Acoustics). That is 0.6 dB at an RT60 of
    0.25 s and −7.4 dB at 1.6 s.
    """
    time = np.arange(taps) / sampling_rate
    reverberant = _DISTANCE**2 * rt60 / (0.057**2 * _ROOM)  # energy; the direct sound's is 1
    decay = 3 * math.log(10) / rt60  # of the amplitude; 2 decay / rate of the energy falls on the first tap
    start = math.sqrt(reverberant * 2 * decay / sampling_rate)
    response = start * np.exp(-decay * time) * key.normal(taps)
    response[0] = 1.0
    return response


def low_pass(clip: np.ndarray, cutoff: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """An eighth-order Butterworth filter, −3 dB at `cutoff` Hz: speech through a mask, a pocket or a door.

    Hertz, and not a share of the sampling rate, because that is what a mask does; even the highest cut-off is
    below 4 kHz, so that no clip passes unchanged.
    """
    return sosfilt(butter(8, cutoff, "low", fs=sampling_rate, output="sos"), clip)


def telephone(clip: np.ndarray, band_and_bits: tuple, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """A telephone line: at 8 kHz, a band-pass in Hz, −3 dB at both ends, and µ-law of so many bits; then back.

    A clip that is at 8 kHz already is not resampled; the band and the µ-law change it all the same. The line sets
    the peak to full scale before it quantises, so that quiet clips have as many levels as loud ones.
    """
    low, high, bits = band_and_bits
    line = change_rate(clip, sampling_rate, _TELEPHONE_RATE)
    line = sosfilt(butter(4, (low, high), "bandpass", fs=_TELEPHONE_RATE, output="sos"), line)
    return fit(change_rate(_mu_law(line, bits), _TELEPHONE_RATE, sampling_rate), len(clip))


def resampling(clip: np.ndarray, fraction: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Linearly interpolated down to a fraction of the sampling rate and up again, without a filter.

    What lies above half the lower rate folds back (aliasing), as in a pipeline that resamples with `interp`; the
    sound's counterpart to pixelated images. The fraction is of the clip's own rate: 0.5 leaves 8 of 16 kHz.
    """
    kept = max(round(len(clip) * fraction), 1)
    few = np.interp(np.arange(kept) / fraction, np.arange(len(clip)), clip)
    return np.interp(np.arange(len(clip)) * fraction, np.arange(kept), few)


def _mu_law(clip: np.ndarray, bits: int) -> np.ndarray:
    """Companded with µ = 255 as in ITU-T G.711, rounded to 2^bits − 1 levels, one of them zero, and expanded."""
    peak = np.abs(clip).max()
    levels = 2 ** (bits - 1) - 1
    companded = np.log1p(_MU * np.abs(clip) / peak) / math.log1p(_MU)
    return np.sign(clip) * np.expm1(np.round(companded * levels) / levels * math.log1p(_MU)) / _MU * peak


def change_rate(clip: np.ndarray, source: int, target: int) -> np.ndarray:
    """(L,) at `source` Hz to (⌈L · target / source⌉,) at `target` Hz, by a polyphase filter against aliasing."""
    ratio = Fraction(target, source)
    return clip if ratio == 1 else resample_poly(clip, ratio.numerator, ratio.denominator)


def fit(clip: np.ndarray, length: int) -> np.ndarray:
    """The first `length` samples, padded with zeros at the end where there are fewer."""
    return np.pad(clip[:length], (0, max(length - len(clip), 0)))
