"""The page uci.md, mixup's experiment on tables: errors of a sweep of recipes/uci, beside the paper's.

hfmix sweep recipes/uci/*.yaml --vary_split --out runs/uci
python -m experiments.papers.uci runs/uci    writes experiments/results/uci.md and prints it
"""

import json
import sys
from pathlib import Path
from typing import Any

from experiments.papers import RESULTS
from hfmix.utils.text import markdown_table

ACCURACY = "clean/accuracy"
# test errors in %, ERM and mixup
PAPER = {
    "abalone": (74.0, 73.6),
    "arcene": (57.6, 48.0),
    "arrhythmia": (56.6, 46.3),
    "htru2": (2.0, 2.0),
    "iris": (21.3, 17.3),
    "phishing": (16.3, 15.2),
}
TEXT = """# mixup on tables

mixup's experiment on six tables of UCI (arXiv 1710.09412, section 3.6), with `recipes/uci/`: two hidden layers of
128, Adam, 10 epochs in batches of 16; mixup with α = 1, which was not tuned. Test error in %, the mean over
the seeds ± half of its 95 % t-interval. A seed fixes the training and the fifth of the rows that is held out; both
methods share it, and their difference is taken seed by seed (* where its interval excludes 0). Arcene is measured
on its own validation set. Abalone has classes of a single shell: if that shell is in the test part, no method can
be right. Missing cells of Arrhythmia are filled with the training part's median.

{errors}
{verdict}

The paper's figures come from a secondary record and were not checked against the paper. They are for orientation
only: the paper's split, preparation of the columns, α and learning rate are not known here.

## All figures

{table}
```
hfmix sweep recipes/uci/*.yaml --vary_split --out runs/uci --disable_tqdm true
python -m experiments.papers.uci runs/uci
```

{hardware}; {versions}.
"""


def main(out: Path) -> str:
    """Returns the page on the sweep in `out`."""
    content = json.loads((out / "sweep.json").read_text())
    recipes = content["recipes"]
    if content["failed"] or {f"{name}_mixup" for name in PAPER} - recipes.keys():
        raise SystemExit(f"the sweep in {out} is incomplete: run it again")
    rows = {name: _row(recipes[f"{name}_erm"], recipes[f"{name}_mixup"], PAPER[name]) for name in PAPER}
    names = ("python", "torch", "timm", "transformers", "numpy")
    hardware = content["hardware"]
    return TEXT.format(
        errors=markdown_table(rows, "data"),
        verdict=_verdict(recipes),
        table=(out / "sweep.md").read_text(encoding="utf-8"),
        hardware=f"{hardware['platform']}, {hardware['cpu_cores']} cores, no GPU used",
        versions=", ".join(f"{name} {content['versions'][name]}" for name in names),
    )


def _verdict(recipes: dict[str, Any]) -> str:
    """Says on which data one of the two methods is better, as far as the seeds tell."""
    intervals = {name: recipes[f"{name}_mixup"]["difference"]["figures"][ACCURACY]["ci95"] for name in PAPER}
    lower = [name for name, ends in intervals.items() if ends and ends[0] > 0]
    higher = [name for name, ends in intervals.items() if ends and ends[1] < 0]
    return (
        f"mixup's error is lower on {' and '.join(lower) or 'none'}, higher on {' and '.join(higher) or 'none'}, "
        f"and not told apart from ERM's on the other {len(intervals) - len(lower) - len(higher)}."
    )


def _row(erm: dict[str, Any], mixup: dict[str, Any], paper: tuple[float, float]) -> dict[str, str]:
    difference = mixup["difference"]
    return {
        "seeds": str(len(difference["seeds"])),
        "ERM": _error(erm["figures"][ACCURACY]),
        "mixup": _error(mixup["figures"][ACCURACY]),
        "mixup − ERM": _difference(difference["figures"][ACCURACY]),
        "ERM, the paper's": f"{paper[0]}",
        "mixup, the paper's": f"{paper[1]}",
    }


def _error(accuracy: dict[str, Any]) -> str:
    return f"{100 - 100 * accuracy['mean']:.1f}{_half(accuracy)}"


def _difference(accuracy: dict[str, Any]) -> str:
    low, high = accuracy["ci95"] or (0.0, 0.0)
    return f"{0.0 - 100 * accuracy['mean']:+.1f}{_half(accuracy)}{' *' if low > 0 or high < 0 else ''}"


def _half(figure: dict[str, Any]) -> str:
    """Writes half of the interval; nothing for a single seed."""
    return f" ± {50 * (figure['ci95'][1] - figure['ci95'][0]):.1f}" if figure["ci95"] else ""


if __name__ == "__main__":
    text = main(Path(sys.argv[1]))
    (RESULTS / "uci.md").write_text(text, encoding="utf-8")
    print(text)
