"""Puts the first table and the figure of a comparison into README.md, between its markers."""

import re
import shutil
import sys
from pathlib import Path

from experiments.papers import ROOT

README = ROOT / "README.md"
FIGURE = Path("experiments/results/quickstart.png")


def main() -> None:
    """``python -m experiments.papers.update_readme runs/digits/comparison``"""
    comparison = Path(sys.argv[1])
    shutil.copy(comparison / "comparison.png", ROOT / FIGURE)
    table = (comparison / "comparison.md").read_text(encoding="utf-8").split("\n\n")[0].rstrip() + "\n"
    figure = f"![ERM, mixup and RegMixup on handwritten digits]({FIGURE})"
    put("quickstart", f"{table}\n{figure}\n")


def put(marker: str, text: str) -> None:
    """Replaces what stands between two lines of README.md, ``<!-- marker -->`` and ``<!-- /marker -->``."""
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    readme, count = re.subn(
        f"{start}.*?{end}", lambda _: start + text + end, README.read_text(encoding="utf-8"), flags=re.S
    )
    if count != 1:
        sys.exit(f"README.md has no place marked {start.strip()} … {end}")
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
