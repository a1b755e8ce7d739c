"""Speed of each corruption of sound on one second at 16 kHz in one thread, compared with audiomentations.

Milliseconds per clip at severity 3, the fastest of interleaved repeats, checks and conversions included. Targets:
4 without a codec, 40 with one. audiomentations, where it has the corruption, is set to the same strength; it draws
from a global state, so that its noise needs no key. Its codecs need further packages, and its low-pass filter has
another order.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from timing import benchmark_table, interleaved

from hfmix.robustness.corruptions.audio import AUDIO, corrupt_sound
from hfmix.robustness.corruptions.audio.constants import CONSTANTS

RATE = 16000
SEVERITY = 3
CLIPS = 8  # per call


def measure(repeats: int) -> list[list[str]]:
    """Returns the rows of the table."""
    random = np.random.default_rng(0)
    clips = [(0.1 * random.standard_normal(RATE)).astype(np.float32) for _ in range(CLIPS)]

    def hfmix_call(name: str) -> Callable[[], object]:
        return lambda: corrupt_sound(clips, name, SEVERITY, sampling_rate=RATE)

    def peer_call(transform: Callable[..., np.ndarray]) -> Callable[[], object]:
        return lambda: [transform(clip, sample_rate=RATE) for clip in clips]

    peers = {name: peer_call(transform) for name, transform in _peers().items()}
    calls = {name: hfmix_call(name) for name in AUDIO} | {f"peer {name}": call for name, call in peers.items()}
    milliseconds = {name: 1000 * s / CLIPS for name, s in interleaved(calls, repeats).items()}
    rows = []
    for name in AUDIO:
        mine, other = milliseconds[name], milliseconds.get(f"peer {name}")
        beside = ["", ""] if other is None else [f"{other:.2f}", f"{mine / other:.2f}"]
        rows.append([name, f"{mine:.2f}", *beside, "≤ 40" if name.endswith("compression") else "≤ 4"])
    return rows


def _peers() -> dict[str, Callable[..., np.ndarray]]:
    """Returns audiomentations' transforms at the same strength, if it is installed."""
    try:
        import audiomentations
    except ImportError:
        return {}
    strength = {name: row[SEVERITY - 1] for name, row in CONSTANTS.items()}
    snr, cutoff, share = strength["white_noise"], strength["low_pass"], 100 * strength["clipping"]
    decibels, shift = strength["gain"], strength["time_shift"]
    return {
        "white_noise": audiomentations.AddGaussianSNR(snr, snr, p=1.0),
        "pink_noise": audiomentations.AddColorNoise(snr, snr, min_f_decay=-3.01, max_f_decay=-3.01, p=1.0),
        "low_pass": audiomentations.LowPassFilter(cutoff, cutoff, min_rolloff=48, max_rolloff=48, p=1.0),
        "clipping": audiomentations.ClippingDistortion(share, share, p=1.0),
        "gain": audiomentations.Gain(decibels, decibels, p=1.0),
        "time_shift": audiomentations.Shift(shift, shift, rollover=False, p=1.0),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    torch.set_num_threads(1)
    rows = measure(parser.parse_args().repeats)
    print(benchmark_table(["corruption", "ms per clip", "audiomentations", "ratio", "target"], rows))


if __name__ == "__main__":
    main()
