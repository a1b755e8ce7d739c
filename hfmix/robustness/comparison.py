"""Reports of several runs side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hfmix.robustness.presentation import VIEWS, headline_estimates, headlines
from hfmix.robustness.presentation.base import Headline, show_difference
from hfmix.robustness.report import RobustnessReport
from hfmix.utils.text import markdown_table


def compare(runs: Sequence[str | Path], out: str | Path | None = None) -> str:
    """Returns reports of several runs side by side, as Markdown: a table, and one of the differences to the first.

    The differences have paired 95 % intervals; see `paired_differences`. Where one of the two runs has no
    predictions, the text says so.

    Args:
        runs: folders with a ``robustness.json``.
        out: a folder that receives ``comparison.md``, ``comparison.png`` and ``comparison.json``, where a report
            that was compared with the first holds ``difference_to_first`` too.

    Raises:
        ValueError: no run is given, a folder holds no report, or the runs were measured on different data.
    """
    if not runs:
        raise ValueError("give at least one run")
    paths = [Path(run) for run in runs]
    alike = len({path.name for path in paths}) < len(paths)
    reports = {str(path) if alike else path.name: RobustnessReport.load(path) for path in paths}
    _check_comparable(reports)
    differences = _differences(reports)
    text = markdown_table({name: headlines(report.axes) for name, report in reports.items()})
    if len(reports) > 1:
        text += "\n" + _difference_text(reports, differences)
    if out is not None:
        from hfmix.robustness.presentation.comparison import draw_comparison

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.md").write_text(text, encoding="utf-8")
        content = {name: report.to_dict() for name, report in reports.items()}
        for name, by_path in differences.items():
            content[name] = {**content[name], "difference_to_first": by_path}
        (folder / "comparison.json").write_text(json.dumps(content, indent=1) + "\n")
        draw_comparison({name: report.axes for name, report in reports.items()}, folder / "comparison.png")
    return text


def _differences(reports: Mapping[str, RobustnessReport]) -> dict[str, dict[str, Any]]:
    """Returns the paired differences of the estimates that both reports have, by run and path.

    A run without predictions is left out, and so are all where the first has none.
    """
    from hfmix.robustness.paired import paired_differences

    (_, first), *others = reports.items()
    differences = {}
    for name, other in others:
        if first.predictions is None or other.predictions is None:
            continue
        paths = dict(other.estimates()).keys()
        paired = paired_differences(first.predictions, other.predictions, first.content["seed"])
        differences[name] = {
            path: paired[path] for path, _ in first.estimates() if path in paths and path in paired
        }
    return differences


def _difference_text(reports: Mapping[str, RobustnessReport], differences: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the second table, and which runs are not in it."""
    first, *others = reports
    shown = list(headline_estimates(reports[first].axes))
    rows = {name: _shown_differences(differences[name], shown) for name in others if name in differences}
    text = ""
    if rows:
        text = f"Difference to {first}, with paired 95 % intervals (* where the interval excludes 0):\n\n"
        text += markdown_table(rows)
    if missing := [name for name in others if name not in differences]:
        text += "\n" if rows else ""
        text += f"No paired difference to {first} for {', '.join(missing)}: one of the two has no predictions.\n"
    return text


def _shown_differences(differences: Mapping[str, Any], shown: Sequence[Headline]) -> dict[str, str]:
    """Returns the titles of `headlines` to text, such as ``{"accuracy, % ↑": "+0.6 [+0.1, +1.1] *"}``."""
    return {
        headline.title: show_difference(differences[headline.path], headline.factor, headline.digits)
        for headline in shown
        if headline.path in differences
    }


def _check_comparable(reports: Mapping[str, RobustnessReport]) -> None:
    first, *others = reports
    for other in others:
        for basis in differing_bases(reports[first], reports[other]):
            raise ValueError(f"{first} and {other} were not measured on the same {basis} and cannot be compared")


def differing_bases(report: RobustnessReport, other: RobustnessReport) -> list[str]:
    """Returns what two reports both measured, but not on the same data or in the same way; empty: they compare."""
    basis, other_basis = _basis(report), _basis(other)
    return [name for name in basis if name in other_basis and basis[name] != other_basis[name]]


def _basis(report: RobustnessReport) -> dict[str, Any]:
    """Returns what a report's estimates rest on, by the words for it."""
    basis = {"test set": report.content["data"]["fingerprint_sha256"]}
    for axis, view in VIEWS.items():
        if axis in report.axes:
            basis |= view.basis(report.axes[axis], report.content["seed"])
    return basis
