"""The figures of a report, drawn from the report alone, to be read at the width of a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfmix.metrics import wilson_interval
from hfmix.robustness.figures.adversarial import draw_adversarial
from hfmix.robustness.figures.curves import draw_risk_coverage, draw_roc
from hfmix.robustness.figures.interpolation import draw_interpolation
from hfmix.robustness.figures.memorization import draw_memorization
from hfmix.robustness.figures.style import BAD_TO_GOOD, COLOURS, GREY, STYLE, WIDTH, short
from hfmix.robustness.report import RobustnessReport


def draw_report(report: RobustnessReport, folder: Path) -> dict[str, list[Path]]:
    """Writes the figures of the axes that the report has, by axis; those of an earlier report go.

    ``reliability.png``, ``risk_coverage.png``, ``corruptions.png``, ``shift.png``, ``ood.png``, ``roc.png``,
    ``adversarial.png``, ``interpolation.png`` and ``memorization.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[Path]] = {}
    for file, axis, draw in FIGURES:
        if axis in report.axes:
            with matplotlib.rc_context(STYLE):
                draw(report.axes).savefig(folder / file)
            drawn.setdefault(axis, []).append(folder / file)
        else:
            (folder / file).unlink(missing_ok=True)
    return drawn


def _draw_reliability(axes: dict[str, Any]) -> Figure:
    """One panel; a second one after temperature scaling where there is a temperature."""
    calibration = axes["calibration"]
    panels = {"Reliability": calibration}
    if "temperature_scaled" in calibration:
        scaled = calibration["temperature_scaled"]
        panels = {"As it is": calibration, f"Logits ÷ {scaled['temperature']:.3g}": scaled}
    figure = Figure(figsize=(WIDTH if len(panels) > 1 else 4.8, 4.9), layout="constrained")
    grid = figure.subplots(2, len(panels), sharex=True, sharey="row", height_ratios=[3, 1], squeeze=False)
    for (top, bottom), (title, found) in zip(grid.T, panels.items(), strict=True):
        _reliability(top, bottom, found)
        top.set_title(f"{title}: ECE {_percent(found['ece_15'])}")
        bottom.set_xlabel("confidence in the predicted class")
    grid[0, 0].set_ylabel("accuracy")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.get_layout_engine().set(wspace=0.06)
    grid[1, 0].set_ylabel("share of\nexamples")
    return figure


def _reliability(top: Axes, bottom: Axes, calibration: dict[str, Any]) -> None:
    count, accuracy, confidence = (
        np.array(calibration["reliability_bins"][key]) for key in ("count", "accuracy", "confidence")
    )
    edges = np.linspace(0, 1, len(count) + 1)
    centre, filled = (edges[:-1] + edges[1:]) / 2, count > 0
    intervals = np.array([wilson_interval(round(a * n), n) for a, n in zip(accuracy, count, strict=True) if n]).T
    top.plot([0, 1], [0, 1], linestyle="--", color=GREY, label="perfect")
    top.vlines(confidence[filled], *intervals, color=COLOURS[0], alpha=0.4, linewidth=4, label="95 % interval")
    dots = {"color": COLOURS[0], "markersize": 5, "clip_on": False}
    top.plot(confidence[filled], accuracy[filled], "o", label="share that is right", **dots)
    top.set(ylim=(-0.02, 1.02), xlim=(0, 1))
    bottom.bar(centre, count / count.sum(), width=0.94 * edges[1], color=GREY)
    bottom.set(ylim=(0, 1))


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
    ax.imshow(values, cmap=BAD_TO_GOOD, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{100 * value:.1f}", ha="center", va="center", fontsize=9)
    ax.axhline(len(rows) - 1.5, color="white", linewidth=3)
    ax.set_xticks(range(len(severities)), severities)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set(xlabel="severity", title="Accuracy under corruption, %")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def _draw_shift(axes: dict[str, Any]) -> Figure:
    """Accuracy on the test set and on each shifted one."""
    rows = {short(name): found["accuracy"] for name, found in axes["shift"].items()}
    if "clean" in axes:
        rows = {"test set": axes["clean"]["accuracy"], **rows}
    figure = Figure(figsize=(WIDTH, 1.1 + 0.42 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for i, (name, found) in enumerate(rows.items()):
        value, (low, high) = 100 * found["value"], (100 * bound for bound in found["ci95"])
        colour = GREY if name == "test set" else COLOURS[0]
        error = [[max(value - low, 0)], [max(high - value, 0)]]
        ax.barh(i, value, 0.72, color=colour, alpha=0.85, xerr=error, error_kw={"ecolor": "#444444"})
        ax.annotate(f"{value:.1f}", (max(value, high), i), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set(xlim=(0, 110), xticks=range(0, 101, 20), xlabel="accuracy, %", title="Accuracy on shifted input")
    return figure


def _draw_ood(axes: dict[str, Any]) -> Figure:
    sets = axes["ood"]
    columns = min(2, len(sets))
    rows = -(-len(sets) // columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else 5.2, 0.4 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, found) in zip(panels, sets.items(), strict=False):
        histogram = found["msp_histogram"]
        edges = np.array(histogram["edges"])
        for key, label, colour in (("id", "test set", COLOURS[0]), ("ood", short(name, 18), COLOURS[1])):
            share = np.array(histogram[key]) / sum(histogram[key])
            ax.stairs(share, edges, fill=True, alpha=0.5, color=colour, label=label)
        ax.set(xlabel="confidence (largest probability)", ylabel="share", xlim=(0, 1))
        ax.set_title(f"{short(name, 18)}: AUROC {_percent(found['msp']['auroc'])}")
        ax.legend(loc="upper left", ncols=2, fontsize=9, columnspacing=1)
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
    for ax in panels[len(sets) :]:
        ax.remove()
    return figure


def _percent(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} %"


FIGURES: tuple[tuple[str, str, Callable[[dict[str, Any]], Figure]], ...] = (
    ("reliability.png", "calibration", _draw_reliability),
    ("risk_coverage.png", "selective", lambda axes: draw_risk_coverage(axes["selective"])),
    ("corruptions.png", "corruptions", _draw_corruptions),
    ("shift.png", "shift", _draw_shift),
    ("ood.png", "ood", _draw_ood),
    ("roc.png", "ood", lambda axes: draw_roc(axes["ood"])),
    ("adversarial.png", "adversarial", lambda axes: draw_adversarial(axes["adversarial"])),
    ("interpolation.png", "interpolation", lambda axes: draw_interpolation(axes["interpolation"])),
    ("memorization.png", "memorization", lambda axes: draw_memorization(axes["memorization"])),
)
