"""Time of `import hfmix` beyond an empty interpreter, and of `hfmix --help`.

Whole processes, run in turn so that a machine that slows down slows all of them; medians. Targets: 50 ms, 0.5 s.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "empty interpreter": [sys.executable, "-c", "pass"],
    "import hfmix": [sys.executable, "-c", "import hfmix"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import timm, transformers": [sys.executable, "-c", "import timm, transformers"],
    "hfmix --help": [str(Path(sys.executable).with_name("hfmix")), "--help"],
    "accelerate --help": [str(Path(sys.executable).with_name("accelerate")), "--help"],
}


def seconds(command: list[str]) -> float:
    """Measures the wall-clock seconds of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for i in range(repeats + 1):
        for name, command in COMMANDS.items():
            elapsed = seconds(command)
            if i:  # the first round warms the disk cache
                times[name].append(elapsed)
    medians = {name: statistics.median(values) for name, values in times.items()}
    empty = medians["empty interpreter"]
    print("| process | median, ms | above an empty interpreter, ms | target |\n| --- | --- | --- | --- |")
    targets = {"import hfmix": "≤ 50 ms above", "hfmix --help": "≤ 500 ms in all"}
    for name, median in medians.items():
        print(f"| {name} | {1000 * median:.0f} | {1000 * (median - empty):.0f} | {targets.get(name, '')} |")


if __name__ == "__main__":
    main()
