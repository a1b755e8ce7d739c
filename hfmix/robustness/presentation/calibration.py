"""The figure of the calibration axis."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfmix.metrics import wilson_interval
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, percent


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
        top.set_title(f"{title}: ECE {percent(found['ece_15'])}")
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
