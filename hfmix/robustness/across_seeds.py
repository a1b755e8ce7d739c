"""Reports of several recipes, each under several seeds: means, and differences seed by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hfmix.metrics.intervals import t_interval
from hfmix.robustness.comparison import differing_bases
from hfmix.robustness.presentation import headline_estimates
from hfmix.robustness.presentation.base import Headline
from hfmix.robustness.report import RobustnessReport
from hfmix.utils.text import markdown_table

ReportsBySeed = Mapping[int, RobustnessReport]

MEANS = (
    "Mean over the seeds ± half of its 95 % t-interval, which is over the seeds: what another seed changes is in "
    "it, that the test set is finite is not."
)
DIFFERENCES = (
    "Difference to the first recipe that was measured on the same data, seed by seed: mean ± half of its 95 % "
    "t-interval (* where the interval excludes 0)."
)


def summarise(reports: Mapping[str, ReportsBySeed]) -> dict[str, Any]:
    """What `sweep_text` and `draw_sweep` show, as plain JSON.

    By recipe: ``seeds``; ``figures``, those of `headline_estimates` by their path in `RobustnessReport.estimates`;
    and, where an earlier recipe was measured on the same data under a common seed, ``difference``, with the first
    such recipe's name (``to``), the common ``seeds`` and their ``figures``. Each figure has its ``mean``, the
    ``ci95`` of that over the seeds (None for one seed) and the ``values`` by seed.

    Args:
        reports: by recipe and seed; recipes without any are left out.
    """
    reports = {name: by_seed for name, by_seed in reports.items() if by_seed}
    found: dict[str, Any] = {}
    for name, by_seed in reports.items():
        found[name] = {"seeds": sorted(by_seed), "figures": _over_seeds(by_seed)}
        for first in found:
            seeds = [] if first == name else common_seeds(reports[first], by_seed)
            if seeds:
                differences = _differences(found[first]["figures"], found[name]["figures"], seeds)
                found[name]["difference"] = {"to": first, "seeds": seeds, "figures": differences}
                break
    return found


def shown_headlines(reports: Mapping[str, ReportsBySeed]) -> list[Headline]:
    """How the headline figures of all these reports are shown, each once."""
    return list(
        dict.fromkeys(
            how for by_seed in reports.values() for r in by_seed.values() for how in headline_estimates(r.axes)
        )
    )


def sweep_text(found: Mapping[str, Any], shown: Sequence[Headline]) -> str:
    """`summarise`'s findings as Markdown: the means, and the differences where there are any."""
    text = MEANS + "\n\n" + markdown_table({name: _row(recipe, shown) for name, recipe in found.items()}, "recipe")
    rows = {
        name: {"to": recipe["difference"]["to"], **_row(recipe["difference"], shown, signed=True)}
        for name, recipe in found.items()
        if "difference" in recipe
    }
    return text + (f"\n{DIFFERENCES}\n\n" + markdown_table(rows, "recipe") if rows else "")


def over_seeds(values: Mapping[int, float]) -> dict[str, Any]:
    """A figure's mean over the seeds, with its 95 % t-interval, which takes two seeds or more."""
    array = np.array(list(values.values()))
    interval = list(t_interval(array)) if len(array) > 1 else None
    return {"mean": float(array.mean()), "ci95": interval, "values": {str(s): v for s, v in values.items()}}


def _over_seeds(by_seed: ReportsBySeed) -> dict[str, Any]:
    values: dict[str, dict[int, float]] = {}
    for seed, report in sorted(by_seed.items()):
        for how, figure in headline_estimates(report.axes).items():
            values.setdefault(how.path, {})[seed] = figure["value"]
    return {path: over_seeds(its) for path, its in values.items()}


def common_seeds(first: ReportsBySeed, other: ReportsBySeed) -> list[int]:
    """Those under which both were measured on the same data."""
    return sorted(seed for seed in first.keys() & other.keys() if not differing_bases(first[seed], other[seed]))


def _differences(first: Mapping[str, Any], other: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    differences = {}
    for path in first.keys() & other.keys():
        ours, theirs = first[path]["values"], other[path]["values"]
        both = [str(seed) for seed in seeds if str(seed) in ours and str(seed) in theirs]
        if both:
            differences[path] = over_seeds({int(seed): theirs[seed] - ours[seed] for seed in both})
    return differences


def _row(found: Mapping[str, Any], shown: Sequence[Headline], signed: bool = False) -> dict[str, str]:
    seeds = len(found["seeds"])
    cells = {"seeds": str(seeds)}
    for how in shown:
        if figure := found["figures"].get(how.path):
            count = len(figure["values"])
            of_some = f" (of {count} seed{'s' if count > 1 else ''})" if count < seeds else ""
            cells[how.title] = show_mean(figure, how, signed) + of_some
    return cells


def show_mean(figure: Mapping[str, Any], how: Headline, signed: bool = False) -> str:
    """`over_seeds` as text, such as ``96.7 ± 1.2``; `signed` ``+0.6 ± 0.4 *``."""
    mean = round(how.factor * figure["mean"], how.digits) + 0.0  # which makes -0.0 a 0
    text = f"{mean:{'+' if signed else ''}.{how.digits}f}"
    if figure["ci95"] is None:
        return text
    low, high = figure["ci95"]
    mark = " *" if signed and (low > 0 or high < 0) else ""
    return f"{text} ± {how.factor * (high - low) / 2:.{how.digits}f}{mark}"
