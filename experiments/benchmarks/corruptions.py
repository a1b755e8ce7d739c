"""Speed of corrupting images, compared with the peer `imagecorruptions` in the same process.

Milliseconds per image: the fastest of interleaved repeats, averaged over the five severities; uint8 in and out,
seeding included. The peer works image by image and with its constants for 224 pixels, so hfmix is timed with those
too, at both sizes. Targets, with two threads: the 15 of the benchmark together at least 15 times faster
than the peer without glass blur and 60 times with it at 224 pixels, 10 and 20 times at 32.

`imagecorruptions` is not a dependency: it needs scikit-image 0.19 and NumPy 1. Without it its columns are empty.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from inputs import photographs
from timing import benchmark_table, interleaved

from hfmix import corrupt, corruption_names
from hfmix.robustness.corruptions.image.constants import SEVERITIES

SIZES = [(224, 16), (32, 256)]
PEER_IMAGES = 4
SLOW = "glass_blur"


def measure(size: int, count: int, repeats: int) -> list[list[str]]:
    """Returns the rows of the table for images of `size` pixels."""
    images, peer = photographs(count, size), _peer()
    own_ms, peer_ms = {}, {}
    for name in corruption_names("image", extra=True):
        own_ms[name], peer_ms[name] = [], []
        for severity in SEVERITIES:
            calls: dict[str, Callable[[], object]] = {
                "hfmix": lambda name=name, severity=severity: corrupt(images, name, severity, constants=224)
            }
            seconds = interleaved(calls, repeats)
            own_ms[name].append(seconds["hfmix"] * 1e3 / count)
            peer_ms[name].append(_peer_milliseconds(peer, images[:PEER_IMAGES], name, severity))
    own, other = ({n: float(np.mean(v)) for n, v in t.items()} for t in (own_ms, peer_ms))

    def row(what: str, names: list[str], scale: float = 1) -> list[str]:
        ms, peers_ms = (sum(t[name] for name in names) * scale for t in (own, other))
        peers = ["", ""] if math.isnan(peers_ms) else [f"{peers_ms:.3f}", f"{peers_ms / ms:.1f} ×"]
        return [f"{size}", what, f"{ms:.3f}", *peers]

    benchmark = corruption_names("image")
    measurable = [name for name in benchmark if not math.isnan(other[name])]
    rows = [row(name, [name]) for name in own]
    rows.append(row("the 15, all severities", benchmark, scale=len(SEVERITIES)))
    rows.append(row(f"the 15 but {SLOW}", [name for name in benchmark if name != SLOW], scale=len(SEVERITIES)))
    if measurable:
        ratios = [math.log(other[name] / own[name]) for name in measurable]
        rows.append([f"{size}", f"geometric mean of {len(ratios)}", "", "", f"{math.exp(np.mean(ratios)):.1f} ×"])
    return rows


def _peer_milliseconds(peer: Callable | None, images: np.ndarray, name: str, severity: int) -> float:
    """Times the peer on one image; NaN if it is not installed or fails with the installed libraries."""
    images = images[:1] if name == SLOW and images.shape[1] > 64 else images
    if peer is None:
        return math.nan
    try:
        call = {"peer": lambda: [peer(image, corruption_name=name, severity=severity) for image in images]}
        return interleaved(call, 1 if name == SLOW else 3)["peer"] * 1e3 / len(images)
    except (AttributeError, TypeError, ValueError):
        return math.nan


def _peer() -> Callable | None:
    """Returns `imagecorruptions.corrupt`, if it is installed and can be imported."""
    try:
        from imagecorruptions import corrupt as peer
    except (ImportError, AttributeError):
        return None
    return peer


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=float, default=1.0, help="a multiple of the usual number of repeats")
    repeats = max(1, round(5 * parser.parse_args().repeats))
    rows = [row for size, count in SIZES for row in measure(size, count, repeats)]
    print(benchmark_table(["pixels", "corruption", "hfmix, ms", "imagecorruptions, ms", "faster"], rows))


if __name__ == "__main__":
    main()
