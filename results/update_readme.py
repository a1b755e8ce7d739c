"""Puts the first table and the figure of a comparison into README.md, between its markers."""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIGURE = Path("results/quickstart.png")


def main() -> None:
    """``python results/update_readme.py runs/digits/comparison``"""
    comparison = Path(sys.argv[1])
    shutil.copy(comparison / "comparison.png", ROOT / FIGURE)
    table = (comparison / "comparison.md").read_text(encoding="utf-8").split("\n\n")[0].rstrip() + "\n"
    figure = f"![ERM, mixup and RegMixup on handwritten digits]({FIGURE})"
    block = f"<!-- quickstart -->\n{table}\n{figure}\n<!-- /quickstart -->"
    readme = ROOT / "README.md"
    text, count = re.subn(
        r"<!-- quickstart -->.*<!-- /quickstart -->",
        lambda _: block,
        readme.read_text(encoding="utf-8"),
        flags=re.S,
    )
    if count != 1:
        sys.exit("README.md has no place marked <!-- quickstart --> … <!-- /quickstart -->")
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
