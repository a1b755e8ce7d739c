"""Codecs: in step with the original at every rate, and at the bit rate asked for."""

import io

import numpy as np
import pytest
import soundfile

from hfmix.robustness.corruptions.audio import codecs, corrupt_sound
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, SEVERITIES

CODECS = ("mp3_compression", "vorbis_compression", "opus_compression")


def lag(clip: np.ndarray, other: np.ndarray) -> int:
    """By how many samples `other` comes later, at the peak of the cross-correlation."""
    size = 2 * len(clip)
    correlation = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(clip, size)))
    peak = int(correlation.argmax())
    return peak if peak < len(clip) else peak - size


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("sampling_rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 9000])
def test_a_coded_clip_is_in_step(name, sampling_rate, voice):
    """Within 0.1 ms: Opus' lowest rates change phases by a little. MP3's own delay would be 46 ms or more."""
    clips = [voice(seconds, sampling_rate) for seconds in (0.25, 0.431)]
    for severity in SEVERITIES:
        coded = corrupt_sound(clips, name, severity, sampling_rate=sampling_rate)
        lags = [lag(a, b) for a, b in zip(clips, coded, strict=True)]
        assert np.abs(lags).max() <= 1e-4 * sampling_rate, (severity, lags)


@pytest.mark.parametrize("name", CODECS)
def test_a_coded_word_is_in_step(name, words):
    clips, sampling_rate = words
    for severity in (1, 5):
        coded = corrupt_sound(clips, name, severity, sampling_rate=sampling_rate)
        lags = [lag(a, b) for a, b in zip(clips, coded, strict=True)]
        assert np.abs(lags).max() <= 1e-4 * sampling_rate, (severity, lags)


@pytest.mark.parametrize("sampling_rate", [8000, 16000])
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize(("name", "tolerance"), [("mp3_compression", 0.04), ("opus_compression", 0.3)])
def test_the_bit_rate_is_the_one_asked_for(name, tolerance, severity, sampling_rate, voice, monkeypatch):
    """By how much four more seconds lengthen the file: two frames of MP3 are 3 %, Opus varies with the sound."""
    sizes = []
    write = soundfile.write

    def measured(buffer: io.BytesIO, *args, **kwargs) -> None:
        write(buffer, *args, **kwargs)
        sizes.append(buffer.tell())

    monkeypatch.setattr(codecs.soundfile, "write", measured)
    clips = [voice(seconds, sampling_rate) for seconds in (1, 5)]
    corrupt_sound(clips, name, severity, sampling_rate=sampling_rate)
    kbits = (sizes[1] - sizes[0]) * 8 / 4 / 1000
    assert kbits == pytest.approx(CONSTANTS[name][severity - 1], rel=tolerance)


@pytest.mark.parametrize("name", CODECS)
def test_the_codec_is_libsndfiles(name, voice):
    """At a rate that the codec has, the result is what libsndfile writes and reads."""
    clip = voice(0.5, 16000)
    options = {
        "mp3_compression": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": (160 - 48) / 152},
        "vorbis_compression": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.4},
        "opus_compression": {"format": "OGG", "subtype": "OPUS", "compression_level": (256 - 24) / 250},
    }[name]
    buffer = io.BytesIO()
    soundfile.write(buffer, clip, 16000, **options)
    buffer.seek(0)
    expected = soundfile.read(buffer, dtype="float32")[0]
    assert np.array_equal(corrupt_sound(clip, name, 1, sampling_rate=16000), expected)


def test_mp3_without_a_header_is_in_step_to_the_sample(voice):
    """At 8 kbit/s LAME writes no header; at 48 it does, and the decoder takes the delay away. Both agree."""
    clip = voice(0.5, 16000)
    lowest, highest = (corrupt_sound(clip, "mp3_compression", s, sampling_rate=16000) for s in (5, 1))
    assert lag(highest, lowest) == lag(clip, highest) == 0
