"""Lossy codecs, through libsndfile: encoding and decoding without a delay.

Each takes a clip (L,) float64, the severity's constant, the sampling rate in Hz and the clip's key, and returns
(L,). A clip whose rate the codec lacks is resampled to the codec's next higher rate, or else to its highest, and
back. Encoders pad a clip that is shorter than their frame.
"""

import io
from typing import Any

import numpy as np
import soundfile

from hfmix.robustness.corruptions.audio.channel import change_rate, fit
from hfmix.robustness.corruptions.audio.keys import SoundKey

# MPEG-2 and 2.5; MPEG-1's 32 to 48 kHz start at 32 kbit/s, and at such bit rates encoders go down to these
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000)
# kbit/s at libsndfile's compression levels 0 and 1: below 16 kHz, and from 16 kHz on
_MP3_KBITS = ((64, 8), (160, 8))
# delay in samples of LAME's encoder (576) and a decoder (528 + 1); mpg123 removes it where LAME's header fits into
# the first frame, which it does not at the lowest bit rates
_MP3_DELAY = 1105
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_OPUS_KBITS = (256, 6)


def mp3_compression(clip: np.ndarray, kbits: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Codes as MP3 with LAME at a constant bit rate in kbit/s; at 24 kHz if the clip's rate is higher."""
    rate = _codec_rate(sampling_rate, _MP3_RATES)
    level = _level(kbits, *_MP3_KBITS[rate >= 16000])
    narrow = change_rate(clip, sampling_rate, rate)
    coded = _coded(narrow, rate, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=level)
    coded = coded if len(coded) == len(narrow) else coded[_MP3_DELAY:]
    return fit(change_rate(fit(coded, len(narrow)), rate, sampling_rate), len(clip))


def vorbis_compression(clip: np.ndarray, quality: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Codes as Ogg Vorbis at a quality of 0 to 10; it supports every sampling rate."""
    return fit(_coded(clip, sampling_rate, "OGG", "VORBIS", compression_level=1 - quality / 10), len(clip))


def opus_compression(clip: np.ndarray, kbits: float, sampling_rate: int, key: SoundKey) -> np.ndarray:
    """Codes as Ogg Opus, the codec of internet calls (RFC 6716), at a variable bit rate near `kbits` kbit/s."""
    rate = _codec_rate(sampling_rate, _OPUS_RATES)
    narrow = change_rate(clip, sampling_rate, rate)
    coded = _coded(narrow, rate, "OGG", "OPUS", compression_level=_level(kbits, *_OPUS_KBITS))
    return fit(change_rate(coded, rate, sampling_rate), len(clip))


def _coded(clip: np.ndarray, rate: int, container: str, subtype: str, **options: Any) -> np.ndarray:
    """Encodes and decodes with libsndfile, in float64; the result is as long as the clip or, for MP3, longer."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.astype(np.float32), rate, format=container, subtype=subtype, **options)
    buffer.seek(0)
    return soundfile.read(buffer)[0]


def _codec_rate(sampling_rate: int, rates: tuple[int, ...]) -> int:
    return next((rate for rate in rates if rate >= sampling_rate), rates[-1])


def _level(kbits: float, highest: int, lowest: int) -> float:
    """Returns libsndfile's compression level for a bit rate: linear from the highest at 0 to the lowest at 1."""
    return min((highest - kbits) / (highest - lowest), 0.9999)  # its MP3 encoder refuses 1
