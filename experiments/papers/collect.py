"""The runs of a sweep as one small JSON file, which `experiments/papers/pages.py` shows.

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

# `mix` of the first recipe and of the other, which is compared with it; None stands for any
PAIRS = (("erm", None), ("mixup", "regmixup"))

ORDER = ("erm", "mixup", "regmixup")  # other methods follow, so that these have the same colours everywhere

Runs = dict[str, dict[int, Path]]


def collect(sweeps: Sequence[str | Path], title: str) -> dict[str, Any]:
    """Collects the figures of all finished runs, and paired differences between methods, as plain JSON.

    - ``recipes``: by name, ``mix``, ``method`` (with its settings), ``net``, ``data`` (a folder of recipes/),
      ``kind``, and ``runs``: by seed the ``command`` that repeats it, with DATA for the folder that holds all
      data, ``epochs`` and ``seconds`` of its training, ``environment`` and ``figures`` by path.
    - ``differences``: of two recipes for the same net (``first``, ``other``) under their common ``seeds``,
      ``figures`` by path: by seed the ``values``, other less first, and ``pooled95``, `pooled_differences`'
      interval over ``n`` examples, or None where predictions are missing or the seeds have test sets of their own.
    - ``unfinished``: recipe and seed of runs that have begun and not ended.

    Args:
        sweeps: folders that `hfmix sweep` wrote.
        title: title of the page.

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
    figures = {
        name: {seed: _figures(report) for seed, report in by_seed.items()} for name, by_seed in reports.items()
    }
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
        {"first": first, "other": other, **difference}
        for first, other in _pairs(recipes)
        if (difference := _difference(reports[first], reports[other], figures[first], figures[other]))
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
    """Finds the folders of the finished runs, and names the unfinished ones."""
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
    """Returns the figures that are shown; a corruption's value and interval are means over its severities."""
    estimates = dict(report.estimates())
    for name, by_severity in report.axes.get("corruptions", {}).get("accuracy", {}).items():
        each = list(by_severity.values())
        ends = np.mean([one["ci95"] for one in each], 0)
        estimates[f"corruptions/accuracy/{name}"] = estimate(
            np.mean([one["value"] for one in each]), ends, each[0]["n"]
        )
    return {
        how.path: {key: _rounded(value) for key, value in estimates[how.path].items()}
        for how in headlines_of(estimates)
    }


def _pairs(recipes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs recipes for the same net, first and other, as in `PAIRS`."""
    return [
        (first, other)
        for of_first, of_other in PAIRS
        for first, recipe in recipes.items()
        for other, compared in recipes.items()
        if recipe["mix"] == of_first and compared["mix"] in (of_other or compared["mix"],)
        if compared["mix"] != of_first and recipe["net"] == compared["net"]
    ]


def _difference(
    first: dict[int, RobustnessReport],
    other: dict[int, RobustnessReport],
    first_figures: dict[int, Any],
    other_figures: dict[int, Any],
) -> dict[str, Any] | None:
    """Compares two recipes over the seeds under which both were measured on the same data; None without any."""
    seeds = common_seeds(first, other)
    if not seeds:
        return None
    both = [report for seed in seeds for report in (first[seed], other[seed])]
    one_set = len({report.content["data"]["fingerprint_sha256"] for report in both}) == 1
    pooled = {}
    if one_set and all(report.predictions is not None for report in both):
        pooled = pooled_differences([(first[seed].predictions, other[seed].predictions) for seed in seeds], seed=0)
    figures = {}
    for path in first_figures[seeds[0]]:
        if all(path in by_seed[seed] for by_seed in (first_figures, other_figures) for seed in seeds):
            values = {
                str(seed): other_figures[seed][path]["value"] - first_figures[seed][path]["value"]
                for seed in seeds
            }
            of_examples = pooled.get(path, {"ci95": None, "n": None})
            figures[path] = _rounded({"values": values, "pooled95": of_examples["ci95"], "n": of_examples["n"]})
    return {"seeds": seeds, "figures": figures}


def _method(name: str, folder: Path, data: Path) -> dict[str, str]:
    """Returns what all runs of a recipe have in common, read from one of them."""
    settings = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    policy = json.loads((folder / "train_results.json").read_text())["policy"]
    return {
        "mix": settings["mix"],
        "method": str(policy_from_dict(policy)).removesuffix("()"),
        "net": _in_words(settings["model_name_or_path"], data),
        "data": _find_recipe(name, settings).parent.name,
    }


def _how(folder: Path, name: str, settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """Returns a run's command, length and environment."""
    environment = json.loads((folder / "environment.json").read_text())
    trained = json.loads((folder / "train_results.json").read_text())
    arguments = _command(_find_recipe(name, settings), settings, data, f"{folder.parent.parent.name}/{name}")
    if not environment["hardware"]["gpus"]:
        arguments += ["--use_cpu", "true"]  # not kept in a run's recipe, and needed for half precision
    return {
        "command": shlex.join(arguments),
        "epochs": round(trained["metrics"]["epoch"], 2),
        "seconds": round(training_seconds(trained)),
        "environment": {key: environment[key] for key in ("versions", "hardware", "git")},
    }


def _find_recipe(name: str, settings: Mapping[str, Any]) -> Path:
    """Finds the recipe of recipes/ that a sweep calls `name`; of several, the one closest to the settings.

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
    """Resolves a command's settings; with `use_cpu`, not part of them, as this machine may lack the run's GPU."""
    return parse([*words, "--output_dir", "run", "--use_cpu", "true"]).resolved


def _changed(recipe: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that differ from the recipe's; ones that only newer versions have are left out."""
    data = {key: settings[key] for key in ("dataset_name", "train_file") if key in settings}
    try:
        plain = _resolved(str(recipe))
    except UsageError:  # a recipe can leave its data to the command
        plain = _resolved(str(recipe), *as_options(data))
        plain = {key: value for key, value in plain.items() if key not in data}
    apart = ("output_dir", "seed", "disable_tqdm", "logging_nan_inf_filter")  # without effect on results
    return {key: value for key, value in settings.items() if key not in apart and plain.get(key) != value}


def _command(recipe: Path, settings: Mapping[str, Any], data: Path, folder: str) -> list[str]:
    """Returns the words of a command that trains with these settings, and checks that it does."""
    changed = _changed(recipe, settings)
    again = _resolved(str(recipe), *as_options(changed))
    if wrong := [key for key in changed if again.get(key) != changed[key]]:
        raise ValueError(f"no option of {recipe} gives {wrong[0]} {changed[wrong[0]]!r}")
    seed = settings["seed"]
    path, options = recipe.relative_to(ROOT), as_options(_in_words(changed, data))
    words = ["hfmix", "train", str(path), "--seed", str(seed), *options]
    return [*words, "--output_dir", f"runs/{folder}/seed{seed}"]


def _data_folder(settings: Iterable[Mapping[str, Any]]) -> Path:
    """Finds the common folder of all files outside the working folder that the settings name."""
    words = [
        word for each in settings for key, value in each.items() if key != "output_dir" for word in _strings(value)
    ]
    try:
        return Path(os.path.commonpath([Path(word).parent for word in words if _is_outside(word)]))
    except ValueError:  # there are no files, or they have no folder in common
        return Path()


def _in_words(value: Any, data: Path) -> Any:
    """Replaces the data folder in a setting by DATA."""
    if isinstance(value, dict):
        return {key: _in_words(item, data) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_words(item, data) for item in value]
    if not _is_outside(value):
        return value
    path = Path(value)
    # where the files have only the root in common, name each by its own folder
    return f"DATA/{path.relative_to(data) if data.name else Path(*path.parts[-2:])}"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [word for item in items for word in _strings(item)]


def _is_outside(value: Any) -> bool:
    return isinstance(value, str) and (Path(value).is_absolute() or value.startswith(("../", "~")))


def _rounded(value: Any) -> Any:
    """Rounds to six digits, more than a test set can resolve."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path, metavar="SWEEP", help="a folder of `hfmix sweep --out`")
    parser.add_argument("--title", help="title of the page [the file's name]")
    parser.add_argument(
        "--out", required=True, type=Path, help="file to write, such as experiments/results/cifar10.json"
    )
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
