"""Turns the runs of a sweep into one small JSON file, which `experiments/papers/pages.py` shows.

python -m experiments.papers.collect runs/cifar10 --title "CIFAR-10, ResNet-20" \
    --out experiments/results/cifar10.json
"""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from experiments.papers import ROOT
from experiments.papers.run_statistics import SCHEMA
from experiments.papers.shown_metrics import headlines_of
from hfmix import policy_from_dict
from hfmix.recipe import as_options, parse
from hfmix.robustness.across_seeds import common_seeds
from hfmix.robustness.estimates import estimate
from hfmix.robustness.paired import pooled_differences
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import is_finished, training_seconds
from hfmix.utils.errors import UsageError

# `mix` of the first and of the other, which is compared with it
PAIRS = (("erm", None), ("mixup", "regmixup"))

ORDER = ("erm", "mixup", "regmixup")  # other methods follow, so that these have the same colours everywhere

Runs = dict[str, dict[int, Path]]


def collect(sweeps: Sequence[str | Path], title: str) -> dict[str, Any]:
    """The figures of all finished runs, and how methods differ on the same examples, as plain JSON.

    - ``recipes``: by name, ``mix``, ``method`` (with its settings), ``net``, ``data`` (a folder of recipes/),
      ``kind``, and ``runs``: by seed the ``command`` that repeats it, with DATA for the folder that holds all
      data, ``epochs`` and ``seconds`` of its training, ``environment`` and ``figures`` by path.
    - ``differences``: of two recipes for the same net (``first``, ``other``) under their common ``seeds``,
      ``figures`` by path: by seed the ``values``, other less first, and ``pooled95``, `pooled_differences`'
      interval over ``n`` examples, or None where predictions are missing or the seeds have test sets of their own.
    - ``unfinished``: recipe and seed of runs that have begun and not ended.

    Args:
        sweeps: folders that `hfmix sweep` wrote.
        title: of the page.

    Raises:
        ValueError: no finished run, the same run in two folders, or one whose recipe is not in recipes/.
    """
    runs, unfinished = _find_runs([Path(sweep) for sweep in sweeps])
    settings = {
        (name, seed): yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        for name, folders in runs.items()
        for seed, folder in folders.items()
    }
    runs = dict(sorted(runs.items(), key=lambda run: _place(settings[run[0], next(iter(run[1]))]["mix"])))
    data = _data_folder(settings.values())
    reports = {
        name: {seed: RobustnessReport.load(folder) for seed, folder in folders.items()}
        for name, folders in runs.items()
    }
    figures = {name: {seed: _figures(report) for seed, report in found.items()} for name, found in reports.items()}
    recipes = {
        name: {
            **_method(name, next(iter(folders.values())), data),
            "kind": next(iter(reports[name].values())).content["data"]["kind"],
            "runs": {
                str(seed): {**_how(folder, name, settings[name, seed], data), "figures": figures[name][seed]}
                for seed, folder in sorted(folders.items())
            },
        }
        for name, folders in runs.items()
    }
    differences = [
        {"first": first, "other": other, **found}
        for first, other in _pairs(recipes)
        if (found := _difference(reports[first], reports[other], figures[first], figures[other]))
    ]
    return {
        "schema": SCHEMA,
        "title": title,
        "recipes": recipes,
        "differences": differences,
        "unfinished": unfinished,
    }


def _place(mix: str) -> int:
    return ORDER.index(mix) if mix in ORDER else len(ORDER)


def _find_runs(sweeps: Sequence[Path]) -> tuple[Runs, list[str]]:
    """The folders of the finished runs, and what has begun."""
    runs: Runs = {}
    unfinished = []
    for sweep in sweeps:
        begun = {path.with_suffix("") for path in sweep.glob("*/seed*") if path.is_dir() or path.suffix == ".yaml"}
        for folder in sorted(begun, key=lambda path: (path.parent.name, int(path.name.removeprefix("seed")))):
            name, seed = folder.parent.name, int(folder.name.removeprefix("seed"))
            if not is_finished(folder):
                unfinished.append(f"{name}, seed {seed}")
            elif seed in runs.setdefault(name, {}):
                raise ValueError(
                    f"{name}, seed {seed}, is in {runs[name][seed]} and in {folder}: give one of them"
                )
            else:
                runs[name][seed] = folder
    if not any(runs.values()):
        where = ", ".join(map(str, sweeps))
        raise ValueError(f"no finished run in {where}: give a folder that `hfmix sweep --out` wrote")
    return dict(sorted(runs.items())), unfinished


def _figures(report: RobustnessReport) -> dict[str, dict[str, Any]]:
    """Those of `headlines_of`; a corruption's is the mean over its severities, its interval that of theirs."""
    found = dict(report.estimates())
    for name, by_severity in report.axes.get("corruptions", {}).get("accuracy", {}).items():
        each = list(by_severity.values())
        ends = np.mean([one["ci95"] for one in each], 0)
        found[f"corruptions/accuracy/{name}"] = estimate(
            np.mean([one["value"] for one in each]), ends, each[0]["n"]
        )
    return {
        how.path: {key: _rounded(value) for key, value in found[how.path].items()} for how in headlines_of(found)
    }


def _pairs(recipes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """First and other, of one net, as in `PAIRS`."""
    return [
        (first, other)
        for of_first, of_other in PAIRS
        for first, ours in recipes.items()
        for other, theirs in recipes.items()
        if ours["mix"] == of_first and theirs["mix"] in (of_other or theirs["mix"],)
        if theirs["mix"] != of_first and ours["net"] == theirs["net"]
    ]


def _difference(
    first: dict[int, RobustnessReport],
    other: dict[int, RobustnessReport],
    ours: dict[int, Any],
    theirs: dict[int, Any],
) -> dict[str, Any] | None:
    """Of the seeds under which both were measured on the same data."""
    seeds = common_seeds(first, other)
    if not seeds:
        return None
    both = [report for seed in seeds for report in (first[seed], other[seed])]
    one_set = len({report.content["data"]["fingerprint_sha256"] for report in both}) == 1
    pooled = {}
    if one_set and all(report.predictions is not None for report in both):
        pooled = pooled_differences([(first[seed].predictions, other[seed].predictions) for seed in seeds], seed=0)
    figures = {}
    for path in ours[seeds[0]]:
        if all(path in found[seed] for found in (ours, theirs) for seed in seeds):
            values = {str(seed): theirs[seed][path]["value"] - ours[seed][path]["value"] for seed in seeds}
            of_examples = pooled.get(path, {"ci95": None, "n": None})
            figures[path] = _rounded({"values": values, "pooled95": of_examples["ci95"], "n": of_examples["n"]})
    return {"seeds": seeds, "figures": figures}


def _method(name: str, folder: Path, data: Path) -> dict[str, str]:
    """What all runs of a recipe have in common, from one of them."""
    settings = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    policy = json.loads((folder / "train_results.json").read_text())["policy"]
    return {
        "mix": settings["mix"],
        "method": str(policy_from_dict(policy)).removesuffix("()"),
        "net": _in_words(settings["model_name_or_path"], data),
        "data": _find_recipe(name, settings).parent.name,
    }


def _how(folder: Path, name: str, settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """How the run came about."""
    environment = json.loads((folder / "environment.json").read_text())
    trained = json.loads((folder / "train_results.json").read_text())
    arguments = _command(_find_recipe(name, settings), settings, data, f"{folder.parent.parent.name}/{name}")
    if not environment["hardware"]["gpus"]:
        arguments += ["--use_cpu", "true"]  # which a run's recipe does not keep, and half precision asks for
    return {
        "command": shlex.join(arguments),
        "epochs": round(trained["metrics"]["epoch"], 2),
        "seconds": round(training_seconds(trained)),
        "environment": {key: environment[key] for key in ("versions", "hardware", "git")},
    }


def _find_recipe(name: str, settings: Mapping[str, Any]) -> Path:
    """The one in recipes/ that a sweep calls so, from which the settings differ least.

    Raises:
        ValueError: there is none.
    """
    paths = [
        path
        for path in sorted((ROOT / "recipes").rglob("*.yaml"))
        if ("-" + "-".join(path.relative_to(ROOT).with_suffix("").parts)).endswith(f"-{name}")
    ]
    if not paths:
        raise ValueError(f"no recipe in recipes/ is called {name}: put it there, so that the run can be repeated")
    return min(paths, key=lambda path: len(_changed(path, settings)))


@cache
def _resolved(*words: str) -> dict[str, Any]:
    """With `use_cpu`, for a machine other than the run's can lack its GPU; it is no part of what is resolved."""
    return parse([*words, "--output_dir", "run", "--use_cpu", "true"]).resolved


def _changed(recipe: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not the recipe's own; what only newer versions have is left out."""
    data = {key: settings[key] for key in ("dataset_name", "train_file") if key in settings}
    try:
        plain = _resolved(str(recipe))
    except UsageError:  # a recipe can leave its data to the command
        plain = _resolved(str(recipe), *as_options(data))
        plain = {key: value for key, value in plain.items() if key not in data}
    apart = ("output_dir", "seed", "disable_tqdm", "logging_nan_inf_filter")  # which change no result
    return {key: value for key, value in settings.items() if key not in apart and plain.get(key) != value}


def _command(recipe: Path, settings: Mapping[str, Any], data: Path, folder: str) -> list[str]:
    """Words that train with these settings, which is checked."""
    changed = _changed(recipe, settings)
    again = _resolved(str(recipe), *as_options(changed))
    if wrong := [key for key in changed if again.get(key) != changed[key]]:
        raise ValueError(f"no option of {recipe} gives {wrong[0]} {changed[wrong[0]]!r}")
    seed = settings["seed"]
    path, options = recipe.relative_to(ROOT), as_options(_in_words(changed, data))
    words = ["hfmix", "train", str(path), "--seed", str(seed), *options]
    return [*words, "--output_dir", f"runs/{folder}/seed{seed}"]


def _data_folder(settings: Iterable[Mapping[str, Any]]) -> Path:
    """The folder that holds all files outside of the working folder that the settings name."""
    words = [
        word for each in settings for key, value in each.items() if key != "output_dir" for word in _strings(value)
    ]
    try:
        return Path(os.path.commonpath([Path(word).parent for word in words if _is_outside(word)]))
    except ValueError:  # there is none, or not one for all
        return Path()


def _in_words(value: Any, data: Path) -> Any:
    """With DATA in the place of that folder."""
    if isinstance(value, dict):
        return {key: _in_words(item, data) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_words(item, data) for item in value]
    if not _is_outside(value):
        return value
    path = Path(value)
    # where all have nothing but the root in common, a file is told by its own folder
    return f"DATA/{path.relative_to(data) if data.name else Path(*path.parts[-2:])}"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [word for item in items for word in _strings(item)]


def _is_outside(value: Any) -> bool:
    return isinstance(value, str) and (Path(value).is_absolute() or value.startswith(("../", "~")))


def _rounded(value: Any) -> Any:
    """To six digits, which is more than a test set can tell."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path, metavar="SWEEP", help="a folder of `hfmix sweep --out`")
    parser.add_argument("--title", help="of the page [the file's name]")
    parser.add_argument("--out", required=True, type=Path, help="such as experiments/results/cifar10.json")
    arguments = parser.parse_args(argv)
    try:
        content = collect(arguments.sweeps, arguments.title or arguments.out.stem)
    except ValueError as error:
        sys.exit(f"collect.py: error: {error}")
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    text = re.sub(r', ("[\w/.]+": \{")', r",\n\1", text)  # a line for each figure and run
    arguments.out.write_text(text + "\n", encoding="utf-8")
    count = sum(len(recipe["runs"]) for recipe in content["recipes"].values())
    print(f"{count} runs, {len(text) / 1024:.0f} KiB: {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
