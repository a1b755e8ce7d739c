"""Statistics of the runs in a file of `collect.py`: means, differences, and verdicts on the claims."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.papers.paper_claims import CLAIMS, UNTOLD, verdict
from experiments.papers.shown_metrics import headline_of
from hfmix.robustness.across_seeds import over_seeds

SCHEMA = "hfmix results 1"
MIN_SEEDS = 3  # Student's interval of two is over ten times as wide as their difference
NAMES = {"erm": "ERM", "regmixup": "RegMixup", "cutmix": "CutMix"}


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Reads the files that `experiments/papers/collect.py` wrote into the folder, by name."""
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: content for name, content in files.items() if content.get("schema") == SCHEMA}


def methods(content: Mapping[str, Any]) -> dict[str, str]:
    """Names each recipe's method; where that is not unique, with the recipe's name."""
    of_recipes = {name: recipe["method"] for name, recipe in content["recipes"].items()}
    several, names = list(of_recipes.values()), {}
    for name, method in of_recipes.items():
        mix, _, settings = method.removesuffix(")").partition("(")
        settings = re.sub(r"\.0\b", "", settings).replace("alpha", "α").replace("=", " = ")
        apart = name if several.count(method) > 1 else ""
        names[name] = ", ".join(filter(None, [NAMES.get(mix, mix), settings, apart]))
    return names


def means(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Averages each value over the seeds, by path: `over_seeds`, and ``over``, what its ``ci95`` is over.

    With fewer than three seeds ``ci95`` is over the test examples.
    """
    by_seed: dict[str, dict[int, dict[str, Any]]] = {}
    for seed, run in recipe["runs"].items():
        for path, figure in run["figures"].items():
            by_seed.setdefault(path, {})[int(seed)] = figure
    averaged = {}
    for path, figures in by_seed.items():
        ends = [figure["ci95"] for figure in figures.values()]
        mean_ends = [sum(end) / len(ends) for end in zip(*ends, strict=True)]
        averaged[path] = _with_interval({seed: figure["value"] for seed, figure in figures.items()}, mean_ends)
    return averaged


def difference_of(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Averages a value of ``differences`` as `means` does; ``ci95`` is None where predictions are missing."""
    return _with_interval({int(seed): value for seed, value in figure["values"].items()}, figure["pooled95"])


def tested_claims(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tests those of `CLAIMS` that the runs have values for.

    Returns:
        For each test the ``claim``, the recipes ``first`` and ``other``, ``detail`` (which radius or set), ``how``
        it is shown, the ``difference`` and the ``verdict``.
    """
    recipes, tested = content["recipes"], []
    for claim in CLAIMS:
        for pair in content["differences"]:
            first, other = recipes[pair["first"]], recipes[pair["other"]]
            if (other["mix"], first["mix"]) != (claim.method, claim.against) or other["kind"] not in claim.kinds:
                continue
            for path, figure in pair["figures"].items():
                if matched := re.fullmatch(claim.figure, path):
                    difference = difference_of(figure)
                    tested.append(
                        {
                            "claim": claim,
                            "first": pair["first"],
                            "other": pair["other"],
                            "detail": matched.groupdict().get("detail", "").replace("_of_", "/").replace("_", " "),
                            "how": headline_of(path),
                            "difference": difference,
                            "verdict": _verdict(difference, figure["pooled95"], claim.sign),
                        }
                    )
    return tested


def _verdict(difference: Mapping[str, Any], pooled: Sequence[float] | None, sign: int) -> str:
    """Judges over the seeds and, where known, over the test examples too; fewer than three seeds must agree."""
    judged = verdict(difference["ci95"], sign)
    if difference["over"] == "seeds":
        return judged if pooled is None or verdict(pooled, sign) == judged else UNTOLD
    return judged if _agree(difference) else UNTOLD


def _agree(difference: Mapping[str, Any]) -> bool:
    """Returns whether no two seeds' differences have opposite signs."""
    values = difference["values"].values()
    return min(values) >= 0 or max(values) <= 0


def _with_interval(values: Mapping[int, float], of_examples: Sequence[float] | None) -> dict[str, Any]:
    mean = over_seeds(values)
    if len(values) < MIN_SEEDS:
        return {**mean, "ci95": of_examples, "over": "test examples"}
    return {**mean, "over": "seeds"}
