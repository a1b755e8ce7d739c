"""The figures of a report and of a comparison, drawn from reports alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from hfmix.metrics import wilson_interval
from hfmix.robustness.report import RobustnessReport
from hfmix.robustness.style import COLOURS, GREY, STYLE

# light enough for black figures on every colour
_BAD_TO_GOOD = LinearSegmentedColormap.from_list("bad_to_good", ["#e8895a", "#fbf3e4", "#8fc4e0"])


def draw_report(report: RobustnessReport, folder: Path) -> None:
    """Writes ``reliability.png``, ``corruptions.png`` and ``ood.png`` for the axes that the report has."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {"calibration": _draw_reliability, "corruptions": _draw_corruptions, "ood": _draw_ood}
    files = {"calibration": "reliability.png", "corruptions": "corruptions.png", "ood": "ood.png"}
    for axis, draw in drawings.items():
        if axis in report.axes:
            with matplotlib.rc_context(STYLE):
                draw(report.axes).savefig(folder / files[axis])


def draw_comparison(reports: Mapping[str, RobustnessReport], path: Path) -> None:
    """Writes one figure with the models side by side: accuracy by severity, calibration, OOD detection."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 3.9), layout="constrained")
        severity, reliability, detection = figure.subplots(1, 3)
        _compare_severity(severity, reports)
        _compare_reliability(reliability, reports)
        _compare_detection(detection, reports)
        figure.legend(*severity.get_legend_handles_labels(), loc="outside lower center", ncols=len(reports))
        figure.savefig(path)


def _draw_reliability(axes: dict[str, Any]) -> Figure:
    calibration = axes["calibration"]
    count, accuracy, confidence = (
        np.array(calibration["reliability_bins"][key]) for key in ("count", "accuracy", "confidence")
    )
    edges = np.linspace(0, 1, len(count) + 1)
    centre, filled = (edges[:-1] + edges[1:]) / 2, count > 0
    intervals = np.array([wilson_interval(round(a * n), n) for a, n in zip(accuracy, count, strict=True) if n]).T
    figure = Figure(figsize=(4.6, 4.8), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], linestyle="--", color=GREY, label="perfect")
    top.vlines(confidence[filled], *intervals, color=COLOURS[0], alpha=0.4, linewidth=4, label="95 % interval")
    top.plot(
        confidence[filled], accuracy[filled], "o", color=COLOURS[0], markersize=5, label="share that is right"
    )
    top.set(ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(0, 1))
    top.set_title(f"Reliability: {_percent(calibration['ece_15'])} ECE")
    top.legend(loc="upper left", fontsize=8)
    bottom.bar(centre, count / count.sum(), width=0.94 * edges[1], color=GREY)
    bottom.set(xlabel="confidence in the predicted class", ylabel="share of\nexamples", ylim=(0, 1))
    return figure


def _draw_corruptions(axes: dict[str, Any]) -> Figure:
    corruptions = axes["corruptions"]
    names = [*corruptions["accuracy"], "mean"]
    rows = [*corruptions["accuracy"].values(), corruptions["mean_accuracy_by_severity"]]
    severities = list(rows[0])
    values = np.array([[row[severity]["value"] for severity in severities] for row in rows])
    if "clean" in axes:
        values = np.column_stack([np.full(len(rows), axes["clean"]["accuracy"]["value"]), values])
        severities = ["clean", *severities]
    figure = Figure(figsize=(5.6, 1.4 + 0.36 * len(rows)), layout="constrained")
    ax = figure.subplots()
    ax.imshow(values, cmap=_BAD_TO_GOOD, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{100 * value:.1f}", ha="center", va="center", fontsize=9)
    ax.axhline(len(rows) - 1.5, color="white", linewidth=3)
    ax.set_xticks(range(len(severities)), severities)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set(xlabel="severity", title="Accuracy under corruption, %")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def _draw_ood(axes: dict[str, Any]) -> Figure:
    sets = axes["ood"]
    figure = Figure(figsize=(5.2, 0.4 + 2.7 * len(sets)), layout="constrained")
    for ax, (name, found) in zip(np.atleast_1d(figure.subplots(len(sets), 1)), sets.items(), strict=True):
        histogram = found["msp_histogram"]
        edges = np.array(histogram["edges"])
        for key, label, colour in (("id", "test set", COLOURS[0]), ("ood", name, COLOURS[1])):
            share = np.array(histogram[key]) / sum(histogram[key])
            ax.stairs(share, edges, fill=True, alpha=0.5, color=colour, label=label)
        auroc = found["msp"]["auroc"]
        ax.set(xlabel="confidence (largest probability)", ylabel="share", xlim=(0, 1))
        ax.set_title(f"Out-of-distribution: AUROC {_percent(auroc)}")
        ax.legend(loc="upper left")
    return figure


def _compare_severity(ax: Axes, reports: Mapping[str, RobustnessReport]) -> None:
    for colour, (name, report) in zip(_colours(reports), reports.items(), strict=True):
        found = {"0": report.axes.get("clean", {}).get("accuracy")}
        found |= report.axes.get("corruptions", {}).get("mean_accuracy_by_severity", {})
        found = {int(severity): value for severity, value in found.items() if value}
        y = [100 * value["value"] for value in found.values()]
        ax.plot(list(found), y, "o-", color=colour, label=name, markersize=4)
        low, high = np.array([value["ci95"] for value in found.values()]).reshape(-1, 2).T * 100
        ax.fill_between(list(found), low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set(xlabel="severity of corruption (0: clean)", ylabel="accuracy, %", title="Accuracy")


def _compare_reliability(ax: Axes, reports: Mapping[str, RobustnessReport]) -> None:
    width = 0.8
    for i, (colour, report) in enumerate(zip(_colours(reports), reports.values(), strict=True)):
        _bar(ax, i, width, report.axes.get("calibration", {}).get("ece_15"), colour)
    ax.set(xticks=[], xlabel="lower is better", ylabel="ECE (15 bins), %", title="Calibration error")


def _compare_detection(ax: Axes, reports: Mapping[str, RobustnessReport]) -> None:
    sets = list(dict.fromkeys(key for report in reports.values() for key in report.axes.get("ood", {})))
    width = 0.8 / len(reports)
    for i, (colour, report) in enumerate(zip(_colours(reports), reports.values(), strict=True)):
        for j, key in enumerate(sets):
            found = report.axes.get("ood", {}).get(key)
            _bar(
                ax, j + (i - (len(reports) - 1) / 2) * width, width * 0.92, found and found["msp"]["auroc"], colour
            )
    ax.set_xticks(range(len(sets)), [key.replace("_", " ") for key in sets])
    ax.set(ylabel="AUROC (confidence), %", title="Noticing out-of-distribution input")
    ax.axhline(50, linestyle="--", linewidth=1, color=GREY)
    ax.set(xlabel="dashed: chance")
    ax.set_ylim(0, 108)  # room for a figure above the highest bar
    ax.set_yticks(range(0, 101, 20))


def _bar(ax: Axes, x: float, width: float, found: dict[str, Any] | None, colour: str) -> None:
    """One bar with its interval and its value above; nothing where the figure is missing."""
    if not found:
        return
    value, (low, high) = 100 * found["value"], (100 * bound for bound in found["ci95"])
    error = [[max(value - low, 0)], [max(high - value, 0)]]
    ax.bar(x, value, width, color=colour, alpha=0.85, yerr=error, error_kw={"elinewidth": 1, "ecolor": "#444444"})
    ax.annotate(f"{value:.1f}", (x, max(value, high)), (0, 2), textcoords="offset points", ha="center", fontsize=9)


def _colours(reports: Mapping[str, RobustnessReport]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(reports))]


def _percent(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} %"
