"""Properties of every corruption of sound: key, array type, length, silence, and clear errors."""

import numpy as np
import pytest
import torch

from hfmix.robustness.corruptions.audio import AUDIO, corrupt_sound
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.audio.keys import SoundKey

RATE = 16000
DRAWN = {"white_noise", "pink_noise", "synthetic_babble", "reverberation", "time_shift", "speed"}


def test_constants_cover_every_name_and_severity():
    assert list(CONSTANTS) == list(AUDIO)
    assert {len(row) for row in CONSTANTS.values()} == {len(SEVERITIES)}


@pytest.mark.parametrize("name", AUDIO)
def test_a_clip_is_corrupted_alike_in_any_batch_and_order(name, voice):
    clips = [voice(seconds, RATE, pitch) for seconds, pitch in ((0.5, 100), (0.31, 150), (0.5, 210), (0.02, 300))]
    whole = corrupt_sound(clips, name, 4, sampling_rate=RATE, seed=3, first_index=10)
    for i in (3, 1, 0, 2):
        alone = corrupt_sound(clips[i], name, 4, sampling_rate=RATE, seed=3, first_index=10 + i)
        assert np.array_equal(whole[i], alone)
    tail = corrupt_sound(clips[2:], name, 4, sampling_rate=RATE, seed=3, first_index=12)
    assert all(map(np.array_equal, tail, whole[2:]))


@pytest.mark.parametrize("name", AUDIO)
def test_kind_and_dtype_are_kept(name, voice):
    batch = np.stack([voice(0.25, RATE, pitch) for pitch in (100, 150)])
    listed = corrupt_sound(list(batch), name, sampling_rate=RATE)
    assert isinstance(listed, list)
    stacked = corrupt_sound(batch, name, sampling_rate=RATE)
    assert stacked.dtype == np.float32 and np.array_equal(stacked, np.stack(listed))
    tensors = corrupt_sound(torch.from_numpy(batch), name, sampling_rate=RATE)
    assert tensors.dtype == torch.float32 and np.array_equal(tensors.numpy(), stacked)
    halves = corrupt_sound(tuple(torch.from_numpy(batch).half()), name, sampling_rate=RATE)
    assert all(half.dtype == torch.float16 and half.shape == (len(batch[0]),) for half in halves)
    exact = corrupt_sound(batch.astype(np.float64), name, sampling_rate=RATE)
    assert exact.dtype == np.float64 and np.abs(exact - stacked).max() < 1e-7


@pytest.mark.parametrize("name", AUDIO)
def test_the_draw_depends_on_seed_index_and_severity(name, voice):
    """For eight seeds and clips, since a direction is a toss of a coin; what is not drawn is the same for all."""
    clip = voice(0.2, RATE)
    seeds = [corrupt_sound(clip, name, 3, sampling_rate=RATE, seed=i) for i in range(8)]
    clips = corrupt_sound([clip] * 8, name, 3, sampling_rate=RATE)
    for results in (seeds, clips):
        assert any(not np.array_equal(results[0], other) for other in results[1:]) == (name in DRAWN)
    assert np.array_equal(seeds[0], clips[0])


def test_noise_depends_on_every_part_of_its_key():
    """10,000 draws a key, uncorrelated within 5 standard deviations."""
    keys = [(0, 0, "a", 1), (1, 0, "a", 1), (0, 1, "a", 1), (0, 0, "b", 1), (0, 0, "a", 2)]
    draws = [SoundKey(*key).normal(10000) for key in keys]
    draws.append(SoundKey(*keys[0]).normal(10000, part="rhythm"))
    assert np.abs(np.corrcoef(draws) - np.eye(len(draws))).max() < 5 / 10000**0.5


@pytest.mark.parametrize("name", AUDIO)
def test_short_clips_and_silence(name):
    """Any length from one sample up, no value out of range, and zeros stay zeros."""
    random = np.random.default_rng(0)
    for length in (1, 2, 3, 100, 161, 577):
        for severity in (1, 5):
            clip = random.uniform(-1, 1, length).astype(np.float32)
            result = corrupt_sound(clip, name, severity, sampling_rate=RATE)
            assert result.shape == clip.shape and np.isfinite(result).all() and np.abs(result).max() <= 1
    silence = np.zeros(4000, np.float32)
    assert not corrupt_sound(silence, name, 5, sampling_rate=RATE).any()


@pytest.mark.parametrize("name", AUDIO)
@pytest.mark.parametrize("sampling_rate", [8000, 11025, 44100, 96000])
def test_no_clip_passes_unchanged_at_any_rate(name, sampling_rate, voice):
    clip = voice(0.25, sampling_rate) * 2
    result = corrupt_sound(clip, name, 1, sampling_rate=sampling_rate)
    assert np.abs(result).max() <= 1
    assert np.mean((result - clip) ** 2) > 1e-6 * np.mean(clip**2)


def test_a_tensor_that_requires_a_gradient(voice):
    clip = torch.from_numpy(voice(0.1, RATE)).requires_grad_()
    assert not corrupt_sound(clip, "gain", sampling_rate=RATE).requires_grad


CLIP = np.zeros(100, np.float32)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"name": "hiss"}, ValueError, "unknown corruption of sound 'hiss': there are white_noise"),
        ({"severity": 0}, ValueError, "severity is 1 to 5, not 0"),
        ({"sampling_rate": 4000}, ValueError, "at least 8000, not 4000"),
        ({"sampling_rate": 16000.5}, ValueError, "whole number of Hz"),
        ({"sampling_rate": None}, ValueError, "not None"),
        (
            {"samples": [CLIP, np.zeros((2, 100))]},
            ValueError,
            "clip 8 is (2, 100), not mono (L,): mix the channels",
        ),
        ({"samples": np.zeros((2, 2, 100))}, ValueError, "not (2, 2, 100): mix channels down"),
        ({"samples": np.zeros((100, 2))}, ValueError, "100 clips of 2 samples: mix stereo down"),
        ({"samples": np.zeros(0)}, ValueError, "not empty, not (0,)"),
        ({"samples": [CLIP, CLIP[:0]]}, ValueError, "clip 8 is empty"),
        (
            {"samples": [CLIP, np.append(CLIP, np.nan)]},
            ValueError,
            "clip 8 holds NaN or infinity, first at sample 100",
        ),
        (
            {"samples": torch.tensor([0.0, -torch.inf, 0.0])},
            ValueError,
            "clip 7 holds NaN or infinity, first at sample 1",
        ),
        ({"samples": CLIP.astype(np.int16)}, TypeError, "clip 7 is int16: divide 16-bit integers by 32768"),
        ({"samples": [torch.zeros(9, dtype=torch.int16)]}, TypeError, "clip 7 is torch.int16: divide"),
        ({"samples": CLIP + 3000}, ValueError, "clip 7 reaches 3000: divide it by its full scale"),
        ({"samples": [0.0, 0.1]}, TypeError, "clip 7 is a float: a NumPy or torch array (L,) is expected"),
    ],
)
def test_bad_arguments_are_named(arguments, kind, message):
    with pytest.raises(kind) as error:
        corrupt_sound(**{"samples": CLIP, "name": "gain", "sampling_rate": RATE, "first_index": 7, **arguments})
    assert message in str(error.value)
