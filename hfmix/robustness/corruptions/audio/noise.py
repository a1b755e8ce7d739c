"""Additive noise at a signal-to-noise ratio.

Each takes a clip (L,) float64, the ratio in dB, the sampling rate in Hz and the clip's key, and returns (L,). The
ratio is between mean squares over the whole clip, pauses included.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import fft

from hfmix.robustness.corruptions.audio.constants import LTASS
from hfmix.robustness.corruptions.audio.keys import SoundKey

_LOWEST_AUDIBLE = 20.0  # Hz
_TALKERS = 6
_SYLLABLES = (1.0, 8.0)  # Hz, around the 3 to 4 Hz at which speech varies most (Houtgast & Steeneken 1985)
_DEPTH = 8.0  # dB, the standard deviation of one talker's level


def white_noise(clip: np.ndarray, snr: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Adds Gaussian noise with the same power at every frequency: the hiss of a sensor."""
    return _add(clip, key.normal(len(clip)), snr)


def pink_noise(clip: np.ndarray, snr: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Adds Gaussian noise of power 1/f, −3 dB per octave, flat below 20 Hz: equal power in every octave."""

    def amplitude(frequency: np.ndarray) -> np.ndarray:
        return np.maximum(frequency, _LOWEST_AUDIBLE) ** -0.5

    size = fft.next_fast_len(len(clip), real=True)
    return _add(clip, _shaped(key.normal(size), amplitude, sampling_rate)[: len(clip)], snr)


def synthetic_babble(clip: np.ndarray, snr: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Adds six talkers made of noise: the spectrum and rhythm of speech, but no words and no pitch.

    The idea is from the ICRA noises (Dreschler et al. 2001). Each talker is Gaussian noise with the long-term
    average spectrum of speech (Byrne et al. 1994), its level in dB a Gaussian process between 1 and 8 Hz with a
    standard deviation of 8 dB. Recorded babble masks more, since it also has pitch and pieces of words.
    """
    size = fft.next_fast_len(max(len(clip), sampling_rate), real=True)  # a second holds several syllables
    voices = _shaped(key.normal(_TALKERS, size), _speech_amplitude, sampling_rate)
    loudness = np.exp(_DEPTH * math.log(10) / 20 * _rhythm(size, sampling_rate, key))
    return _add(clip, np.einsum("ts,ts->s", voices, loudness)[: len(clip)], snr)


def _add(clip: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    wanted = np.mean(clip**2) / 10 ** (snr / 10)
    return clip + noise * np.sqrt(wanted / np.mean(noise**2))


def _shaped(white: np.ndarray, amplitude: Callable[[np.ndarray], np.ndarray], sampling_rate: int) -> np.ndarray:
    """Shapes white noise (..., n) to the spectrum `amplitude(Hz)`."""
    size = white.shape[-1]
    return fft.irfft(fft.rfft(white) * amplitude(fft.rfftfreq(size, 1 / sampling_rate)), size)


def _speech_amplitude(frequency: np.ndarray) -> np.ndarray:
    """Returns the amplitudes of the long-term average speech spectrum; 0 below its first band."""
    centres, levels = np.array(LTASS).T
    density = levels - 10 * np.log10(
        centres
    )  # a third-octave band's width is proportional to its centre frequency
    audible = np.maximum(frequency, centres[0])
    return 10 ** (np.interp(np.log(audible), np.log(centres), density) / 20) * (frequency >= centres[0])


def _rhythm(size: int, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Draws standard normal levels, (talkers, size), band-limited to the rates of syllables."""
    frequency = fft.rfftfreq(size, 1 / sampling_rate)
    band = (frequency >= _SYLLABLES[0]) & (frequency <= _SYLLABLES[1])
    real, imaginary = key.normal(2, _TALKERS, int(band.sum()), part="rhythm")
    spectrum = np.zeros((_TALKERS, len(frequency)), complex)
    spectrum[:, band] = real + 1j * imaginary
    return fft.irfft(spectrum, size) * size / (2 * np.sqrt(band.sum()))
