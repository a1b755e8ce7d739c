"""Corruptions of sound at five severities, reproducible clip by clip: ImageNet-C's counterpart for audio."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hfmix.robustness.corruptions.audio.channel import low_pass, resampling, reverberation, telephone
from hfmix.robustness.corruptions.audio.codecs import mp3_compression, opus_compression, vorbis_compression
from hfmix.robustness.corruptions.audio.constants import CONSTANTS, SEVERITIES
from hfmix.robustness.corruptions.audio.keys import SoundKey
from hfmix.robustness.corruptions.audio.level import clipping, gain
from hfmix.robustness.corruptions.audio.noise import pink_noise, synthetic_babble, white_noise
from hfmix.robustness.corruptions.audio.time import speed, time_shift

__all__ = ["AUDIO", "CONSTANTS", "SEVERITIES", "corrupt_sound"]

Samples = TypeVar("Samples", np.ndarray, Tensor, Sequence[np.ndarray], Sequence[Tensor])

_SOUND: dict[str, Callable[[np.ndarray, float | tuple, int, SoundKey], np.ndarray]] = {
    "white_noise": white_noise,
    "pink_noise": pink_noise,
    "synthetic_babble": synthetic_babble,
    "reverberation": reverberation,
    "low_pass": low_pass,
    "telephone": telephone,
    "resampling": resampling,
    "clipping": clipping,
    "gain": gain,
    "mp3_compression": mp3_compression,
    "vorbis_compression": vorbis_compression,
    "opus_compression": opus_compression,
    "time_shift": time_shift,
    "speed": speed,
}

# all names in the order of reports: noise, channel, level, codecs, time
AUDIO = tuple(_SOUND)

# telephone, low_pass and mp3_compression are defined in hertz; below this rate they would change nothing
_LOWEST_RATE = 8000
# the overshoot of decoders and resamplers is well below; 16-bit integers cast to floating point are well above
_HIGHEST_PEAK = 4.0


def corrupt_sound(
    samples: Samples,
    name: str,
    severity: int = 3,
    *,
    sampling_rate: int,
    seed: int = 0,
    first_index: int = 0,
) -> Samples:
    """Corrupts mono clips; a clip's random draws depend only on (seed, index, corruption, severity).

    Every corruption keeps the length: longer results are trimmed, shorter ones padded with zeros. The result is
    clipped at full scale, ±1, as by a recorder; a noise's SNR holds before clipping. A silent clip has no SNR and
    stays silent. The arithmetic is float64 on the CPU; codecs may differ with libsndfile's version.

    Args:
        samples: one clip (L,), clips of one length (B, L), or a sequence of clips (L,) of any lengths; floating
            point in [-1, 1], NumPy or torch; overshoots, up to 4, are clipped. Give clips of different
            lengths as a sequence: a batch's padding counts as sound, towards powers too, and is filled with noise.
        name: one of `AUDIO`.
        severity: 1 to 5; `CONSTANTS` holds what each stands for.
        sampling_rate: in Hz, at least 8000.
        seed: seed of all random draws.
        first_index: index of the first clip; the others count up from it.

    Returns:
        The corrupted clips: NumPy or torch as given, of the same shapes and dtypes; a list for a sequence.

    Raises:
        ValueError: an unknown name or severity, a rate below 8000 Hz, more than one channel, or a clip that is
            empty, not finite or not in [-1, 1].
        TypeError: a clip is not a floating-point array.
    """
    if name not in _SOUND:
        raise ValueError(f"unknown corruption of sound {name!r}: there are {', '.join(AUDIO)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is 1 to 5, not {severity!r}")
    if not isinstance(sampling_rate, int | np.integer) or sampling_rate < _LOWEST_RATE:
        raise ValueError(f"sampling_rate is a whole number of Hz, at least {_LOWEST_RATE}, not {sampling_rate!r}")
    constant = CONSTANTS[name][SEVERITIES.index(severity)]
    corrupted = []
    for i, clip in enumerate(_clips(samples), start=first_index):
        exact = _checked(clip, i)
        if np.mean(exact**2) > 0:  # silence has no SNR, and Opus would dither it
            exact = _SOUND[name](exact, constant, int(sampling_rate), SoundKey(seed, i, name, int(severity)))
        corrupted.append(_like(clip, exact.clip(-1, 1)))
    if not isinstance(samples, np.ndarray | Tensor):
        return corrupted
    if samples.ndim == 1:
        return corrupted[0]
    return np.stack(corrupted) if isinstance(samples, np.ndarray) else torch.stack(corrupted)


def _clips(samples: Samples) -> Sequence[np.ndarray] | Sequence[Tensor]:
    if not isinstance(samples, np.ndarray | Tensor):
        return samples
    shape = tuple(samples.shape)
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(f"samples are (L,) or (B, L), mono and not empty, not {shape}: mix channels down first")
    if len(shape) == 2 and shape[1] <= 2 < shape[0]:
        raise ValueError(f"{shape} is {shape[0]} clips of {shape[1]} samples: mix stereo down to (L,) first")
    return [samples] if len(shape) == 1 else samples


def _checked(clip: np.ndarray | Tensor, index: int) -> np.ndarray:
    """Returns the clip in float64, or raises the error that says what is wrong with it."""
    if not isinstance(clip, np.ndarray | Tensor):
        raise TypeError(f"clip {index} is a {type(clip).__name__}: a NumPy or torch array (L,) is expected")
    floating = clip.is_floating_point() if isinstance(clip, Tensor) else np.issubdtype(clip.dtype, np.floating)
    if not floating:
        raise TypeError(f"clip {index} is {clip.dtype}: divide 16-bit integers by 32768 to have them in [-1, 1]")
    if clip.ndim != 1:
        raise ValueError(f"clip {index} is {tuple(clip.shape)}, not mono (L,): mix the channels down first")
    if len(clip) == 0:
        raise ValueError(f"clip {index} is empty")
    exact = clip.detach().cpu().double().numpy() if isinstance(clip, Tensor) else clip.astype(np.float64)
    if not np.isfinite(exact).all():
        raise ValueError(f"clip {index} holds NaN or infinity, first at sample {np.isfinite(exact).argmin()}")
    peak = np.abs(exact).max()
    if peak > _HIGHEST_PEAK:
        raise ValueError(f"clip {index} reaches {peak:g}: divide it by its full scale to have it in [-1, 1]")
    return exact


def _like(clip: np.ndarray | Tensor, result: np.ndarray) -> np.ndarray | Tensor:
    if isinstance(clip, Tensor):
        return torch.from_numpy(result).to(clip.device, clip.dtype)
    return result.astype(clip.dtype)
