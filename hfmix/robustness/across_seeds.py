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
    "Mean over the seeds ± half of its 95 % t-interval over the seeds, which accounts for what another seed would "
    "change, not for the finite test set."
)
DIFFERENCES = (
    "Difference to the first recipe that was measured on the same data, seed by seed: mean ± half of its 95 % "
    "t-interval (* where the interval excludes 0)."
)


def summarise(reports: Mapping[str, ReportsBySeed]) -> dict[str, Any]:
    """Summarises reports as plain JSON, for `sweep_text` and `draw_sweep`.

    By recipe: ``seeds``; ``figures``, the headline estimates by their path in `RobustnessReport.estimates`; and,
    where an earlier recipe was measured on the same data under a common seed, ``difference``, with the first such
    recipe's name (``to``), the common ``seeds`` and their ``figures``. Each entry of ``figures`` has its ``mean``,
    the ``ci95`` of the mean over the seeds (None for one seed) and the ``values`` by seed.

    Args:
        reports: by recipe and seed; recipes without any are left out.
    """
    reports = {name: by_seed for name, by_seed in reports.items() if by_seed}
    summary: dict[str, Any] = {}
    for name, by_seed in reports.items():
        summary[name] = {"seeds": sorted(by_seed), "figures": _over_seeds(by_seed)}
        for first in summary:
            seeds = [] if first == name else common_seeds(reports[first], by_seed)
            if seeds:
                differences = _differences(summary[first]["figures"], summary[name]["figures"], seeds)
                summary[name]["difference"] = {"to": first, "seeds": seeds, "figures": differences}
                break
    return summary


def shown_headlines(reports: Mapping[str, ReportsBySeed]) -> list[Headline]:
    """Returns how each headline estimate that any of the reports has is shown."""
    every = (report for by_seed in reports.values() for report in by_seed.values())
    return list(dict.fromkeys(headline for report in every for headline in headline_estimates(report.axes)))


def sweep_text(summary: Mapping[str, Any], shown: Sequence[Headline]) -> str:
    """Returns what `summarise` gives as Markdown: the means, and the differences where there are any."""
    means = {name: _row(recipe, shown) for name, recipe in summary.items()}
    differences = {
        name: {"to": recipe["difference"]["to"], **_row(recipe["difference"], shown, signed=True)}
        for name, recipe in summary.items()
        if "difference" in recipe
    }
    text = f"{MEANS}\n\n{markdown_table(means, 'recipe')}"
    return text + (f"\n{DIFFERENCES}\n\n{markdown_table(differences, 'recipe')}" if differences else "")


def over_seeds(values: Mapping[int, float]) -> dict[str, Any]:
    """Returns the mean of one value per seed, with its 95 % t-interval, which takes two seeds or more."""
    array = np.array(list(values.values()))
    interval = list(t_interval(array)) if len(array) > 1 else None
    return {"mean": float(array.mean()), "ci95": interval, "values": {str(s): v for s, v in values.items()}}


def _over_seeds(by_seed: ReportsBySeed) -> dict[str, Any]:
    values: dict[str, dict[int, float]] = {}
    for seed, report in sorted(by_seed.items()):
        for headline, estimate in headline_estimates(report.axes).items():
            values.setdefault(headline.path, {})[seed] = estimate["value"]
    return {path: over_seeds(by_seed) for path, by_seed in values.items()}


def common_seeds(first: ReportsBySeed, other: ReportsBySeed) -> list[int]:
    """Returns the seeds under which both recipes were measured on the same data."""
    return sorted(seed for seed in first.keys() & other.keys() if not differing_bases(first[seed], other[seed]))


def _differences(first: Mapping[str, Any], other: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    differences = {}
    for path in first.keys() & other.keys():
        values, other_values = first[path]["values"], other[path]["values"]
        both = [str(seed) for seed in seeds if str(seed) in values and str(seed) in other_values]
        if both:
            differences[path] = over_seeds({int(seed): other_values[seed] - values[seed] for seed in both})
    return differences


def _row(recipe: Mapping[str, Any], shown: Sequence[Headline], signed: bool = False) -> dict[str, str]:
    seeds = len(recipe["seeds"])
    cells = {"seeds": str(seeds)}
    for headline in shown:
        if over := recipe["figures"].get(headline.path):
            count = len(over["values"])
            of_some = f" (of {count} seed{'s' if count > 1 else ''})" if count < seeds else ""
            cells[headline.title] = show_mean(over, headline, signed) + of_some
    return cells


def show_mean(over: Mapping[str, Any], headline: Headline, signed: bool = False) -> str:
    """Returns a result of `over_seeds` as text, such as ``96.7 ± 1.2``; `signed`, ``+0.6 ± 0.4 *``."""
    mean = round(headline.factor * over["mean"], headline.digits) + 0.0  # + 0.0 makes -0.0 a 0
    text = f"{mean:{'+' if signed else ''}.{headline.digits}f}"
    if over["ci95"] is None:
        return text
    low, high = over["ci95"]
    mark = " *" if signed and (low > 0 or high < 0) else ""
    return f"{text} ± {headline.factor * (high - low) / 2:.{headline.digits}f}{mark}"
