"""What the runs in a file of `collect.py` come to: means, differences and what these say of the claims."""

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
    """By file, what `experiments/papers/collect.py` wrote into the folder."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: content for name, content in found.items() if content.get("schema") == SCHEMA}


def methods(content: Mapping[str, Any]) -> dict[str, str]:
    """What each recipe's method is called; where that is not unique, with the recipe's name."""
    of_recipes = {name: recipe["method"] for name, recipe in content["recipes"].items()}
    several, found = list(of_recipes.values()), {}
    for name, method in of_recipes.items():
        mix, _, settings = method.removesuffix(")").partition("(")
        settings = re.sub(r"\.0\b", "", settings).replace("alpha", "α").replace("=", " = ")
        apart = name if several.count(method) > 1 else ""
        found[name] = ", ".join(filter(None, [NAMES.get(mix, mix), settings, apart]))
    return found


def means(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By path, `over_seeds`; for fewer than three seeds its ``ci95`` is over the test examples. ``over`` says."""
    by_seed: dict[str, dict[int, dict[str, Any]]] = {}
    for seed, run in recipe["runs"].items():
        for path, figure in run["figures"].items():
            by_seed.setdefault(path, {})[int(seed)] = figure
    found = {}
    for path, figures in by_seed.items():
        ends = [figure["ci95"] for figure in figures.values()]
        mean_ends = [sum(end) / len(ends) for end in zip(*ends, strict=True)]
        found[path] = _with_interval({seed: figure["value"] for seed, figure in figures.items()}, mean_ends)
    return found


def difference_of(figure: Mapping[str, Any]) -> dict[str, Any]:
    """As in `means`, of a figure of ``differences``; ``ci95`` can be None then, for want of predictions."""
    return _with_interval({int(seed): value for seed, value in figure["values"].items()}, figure["pooled95"])


def tested_claims(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`CLAIMS` that the runs can tell something about.

    Each with its ``claim``, ``first`` and ``other`` (recipes), ``detail`` (which radius or set), ``how``, the
    ``difference`` and the ``verdict``.
    """
    recipes, found = content["recipes"], []
    for claim in CLAIMS:
        for pair in content["differences"]:
            first, other = recipes[pair["first"]], recipes[pair["other"]]
            if (other["mix"], first["mix"]) != (claim.method, claim.against) or other["kind"] not in claim.kinds:
                continue
            for path, figure in pair["figures"].items():
                if matched := re.fullmatch(claim.figure, path):
                    difference = difference_of(figure)
                    found.append(
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
    return found


def _verdict(difference: Mapping[str, Any], pooled: Sequence[float] | None, sign: int) -> str:
    """Over seeds and, where it is known, over test examples too; of fewer seeds, which then have to agree."""
    found = verdict(difference["ci95"], sign)
    if difference["over"] == "seeds":
        return found if pooled is None or verdict(pooled, sign) == found else UNTOLD
    return found if _agree(difference) else UNTOLD


def _agree(found: Mapping[str, Any]) -> bool:
    """Whether no seed's difference has another sign than another's."""
    values = found["values"].values()
    return min(values) >= 0 or max(values) <= 0


def _with_interval(values: Mapping[int, float], of_examples: Sequence[float] | None) -> dict[str, Any]:
    found = over_seeds(values)
    if len(values) < MIN_SEEDS:
        return {**found, "ci95": of_examples, "over": "test examples"}
    return {**found, "over": "seeds"}
