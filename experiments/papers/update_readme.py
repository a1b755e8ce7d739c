"""Generated blocks of Markdown pages; as a script, a comparison's first table and figure for README.md."""

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
    put("quickstart", f"{table}\n{figure}\n", README)


def put(marker: str, text: str, page: Path) -> None:
    """Replaces the text between two lines of a page, ``<!-- marker -->`` and ``<!-- /marker -->``."""
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    content, count = re.subn(
        f"{start}.*?{end}", lambda _: start + text + end, page.read_text(encoding="utf-8"), flags=re.S
    )
    if count != 1:
        sys.exit(f"{page} has no place marked {start.strip()} … {end}")
    page.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
