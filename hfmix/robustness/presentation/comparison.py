"""The figure of a comparison, drawn from reports alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hfmix.robustness.presentation.adversarial import compare_adversarial
from hfmix.robustness.presentation.interpolation import compare_interpolation
from hfmix.robustness.presentation.style import COLOURS, GREY, STYLE, short
from hfmix.robustness.report import RobustnessReport

Reports = Mapping[str, RobustnessReport]
_MAX_NUMBERED = 9  # bars: the numbers above more of them would run into each other


def draw_comparison(reports: Reports, path: Path) -> None:
    """Writes one figure with the models side by side, a panel for each axis that any of them has."""
    with matplotlib.rc_context(STYLE):
        comparison_figure(reports).savefig(path)


def comparison_figure(reports: Reports) -> Figure:
    """Accuracy by severity or average precision, calibration error, risk and coverage, OOD detection, attacks, and
    misses in between.
    """
    paths = {path for report in reports.values() for path, _ in report.estimates()}
    panels = [draw for starts, draw in _PANELS if any(path.startswith(starts) for path in paths)]
    columns = min(2, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(4.7 * columns, 3.7 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, draw in zip(grid, panels, strict=False):
        draw(ax, reports)
    for ax in grid[len(panels) :]:
        ax.remove()
    handles = [Line2D([], [], color=colour, linewidth=5) for colour in _colours(reports)]
    names = [short(name, 32) for name in reports]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(reports), 4))
    return figure


def _compare_accuracy(ax: Axes, reports: Reports) -> None:
    """By severity, where corruptions were measured."""
    if not any("corruptions" in report.axes for report in reports.values()):
        for i, (colour, report) in enumerate(zip(_colours(reports), reports.values(), strict=True)):
            _bar(ax, i, 0.7, report.axes.get("clean", {}).get("accuracy"), colour)
        ax.set(xticks=[], ylabel="accuracy, %", title="Accuracy", ylim=(0, 108))
        ax.set_yticks(range(0, 101, 20))
        return
    for colour, report in zip(_colours(reports), reports.values(), strict=True):
        found = {"0": report.axes.get("clean", {}).get("accuracy")}
        found |= report.axes.get("corruptions", {}).get("mean_accuracy_by_severity", {})
        found = {int(severity): value for severity, value in found.items() if value}
        y = [100 * value["value"] for value in found.values()]
        ax.plot(list(found), y, "o-", color=colour, markersize=4)
        low, high = np.array([value["ci95"] for value in found.values()]).reshape(-1, 2).T * 100
        ax.fill_between(list(found), low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set(xlabel="severity of corruption (0: clean)", ylabel="accuracy, %", title="Accuracy")
    ax.set_xticks(range(6))


def _compare_average_precision(ax: Axes, reports: Reports) -> None:
    for i, (colour, report) in enumerate(zip(_colours(reports), reports.values(), strict=True)):
        _bar(ax, i, 0.7, report.axes.get("clean", {}).get("mean_average_precision"), colour)
    ax.set(xticks=[], ylabel="mean average precision, %", title="Classes found", ylim=(0, 108))
    ax.set_yticks(range(0, 101, 20))


def _compare_calibration(ax: Axes, reports: Reports) -> None:
    """ECE, and beside it, pale, what temperature scaling leaves of it."""
    found = [report.axes.get("calibration", {}) for report in reports.values()]
    scaled = any("temperature_scaled" in calibration for calibration in found)
    numbered = len(found) * (1 + scaled) <= _MAX_NUMBERED
    for i, (colour, calibration) in enumerate(zip(_colours(reports), found, strict=True)):
        before, after = calibration.get("ece_15"), calibration.get("temperature_scaled", {}).get("ece_15")
        _bar(ax, i - 0.2 if after else i, 0.38 if after else 0.7, before, colour, numbered=numbered)
        _bar(ax, i + 0.2, 0.38, after, colour, 0.4, numbered)
    ax.set(xticks=[], ylabel="ECE (15 bins), %", title="Calibration error")
    ax.set_xlabel("lower is better" + ("; pale: after temperature scaling" if scaled else ""))
    ax.set_ylim(0, 1.08 * ax.get_ylim()[1])


def _compare_risk(ax: Axes, reports: Reports) -> None:
    for colour, report in zip(_colours(reports), reports.values(), strict=True):
        if selective := report.axes.get("selective"):
            curve = selective["risk_coverage_curve"]
            ax.plot(100 * np.array(curve["coverage"]), 100 * np.array(curve["risk"]), color=colour)
    ax.set(xlabel="coverage, % of the examples, most confident first", ylabel="error rate among them, %")
    ax.set(xlim=(0, 100), ylim=(0, None), title="Selective prediction")


def _compare_detection(ax: Axes, reports: Reports) -> None:
    sets = list(dict.fromkeys(key for report in reports.values() for key in report.axes.get("ood", {})))
    width = 0.8 / len(reports)
    numbered = len(sets) * len(reports) <= _MAX_NUMBERED
    for i, (colour, report) in enumerate(zip(_colours(reports), reports.values(), strict=True)):
        for j, key in enumerate(sets):
            found = report.axes.get("ood", {}).get(key)
            x = j + (i - (len(reports) - 1) / 2) * width
            _bar(ax, x, width * 0.92, found and found["msp"]["auroc"], colour, numbered=numbered)
    room = max(8, 42 // len(sets))  # letters below a group of bars
    ax.set_xticks(range(len(sets)), [fill(short(key), room) for key in sets])
    ax.set(ylabel="AUROC (confidence), %", title="Noticing out-of-distribution input")
    ax.axhline(50, linestyle="--", linewidth=1, color=GREY)
    ax.set(xlabel="dashed: chance")
    ax.set_ylim(0, 108)  # room for a figure above the highest bar
    ax.set_yticks(range(0, 101, 20))


def _bar(
    ax: Axes,
    x: float,
    width: float,
    found: dict[str, Any] | None,
    colour: str,
    alpha: float = 0.85,
    numbered: bool = True,
) -> None:
    """One bar with its interval and its value above; nothing where the figure is missing."""
    if not found:
        return
    value, (low, high) = 100 * found["value"], (100 * bound for bound in found["ci95"])
    error = [[max(value - low, 0)], [max(high - value, 0)]]
    ax.bar(x, value, width, color=colour, alpha=alpha, yerr=error, error_kw={"elinewidth": 1, "ecolor": "#444444"})
    if numbered:
        behind = {"facecolor": "white", "alpha": 0.7, "pad": 0.5, "linewidth": 0}  # lines do not cross the figure
        text = {"ha": "center", "fontsize": 9, "bbox": behind}
        ax.annotate(f"{value:.1f}", (x, max(value, high)), (0, 3), textcoords="offset points", **text)


def _colours(reports: Reports) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(reports))]


# what the figures of a panel begin with
_PANELS: tuple[tuple[tuple[str, ...], Callable[[Axes, Reports], None]], ...] = (
    (("clean/accuracy", "corruptions/mean_accuracy"), _compare_accuracy),
    (("clean/mean_average_precision",), _compare_average_precision),
    (("calibration/ece_15",), _compare_calibration),
    (("selective/aurc",), _compare_risk),
    (("ood/",), _compare_detection),
    (("adversarial/",), compare_adversarial),
    (("interpolation/miss_rate",), compare_interpolation),
)
