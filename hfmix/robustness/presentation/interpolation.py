"""The figures of what happens in between examples: one model's curves over λ, and the misses of several models."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfmix.robustness.presentation.headlines import show
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, short
from hfmix.robustness.report import RobustnessReport

_LAMBDA = "λ, share of the first example"
# the curve's name, the panel's title, its unit, and what values are multiplied by
_PANELS = (
    ("miss_rate", "Predicted as neither class", "miss rate, %", 100),
    ("gradient_norm", "Gradient norm", "‖∂ logits / ∂ input‖", 1),
    ("entropy_between", "Entropy of the prediction", "nats", 1),
    ("cross_entropy_between", "Cross-entropy to the mixed label", "nats", 1),
)


def draw_interpolation(interpolation: dict[str, Any]) -> Figure:
    """Four panels over λ, from a report's interpolation axis: misses, gradient norm, entropy and cross-entropy."""
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    curves = interpolation["curves"]
    for ax, (name, title, unit, factor) in zip(grid.flat, _PANELS, strict=True):
        _curve(ax, curves, name, COLOURS[0], factor)
        ax.set(title=title, ylabel=unit)
        _fit(ax)
    apart = {"miss_rate_of_different_classes": "two classes", "miss_rate_of_same_class": "one class"}
    apart = {name: label for name, label in apart.items() if name in curves}
    if len(apart) == 2:  # else the curve of all pairs is that of the one kind
        lines = zip(apart.items(), (COLOURS[1], GREY), ("--", ":"), strict=True)
        for (name, label), colour, style in lines:
            values = 100 * np.array(curves[name]["value"])
            grid[0, 0].plot(curves["lambda"], values, linestyle=style, color=colour, label=label)
        grid[0, 0].lines[0].set_label("all pairs")
        _fit(grid[0, 0], 1.35)
        grid[0, 0].legend(loc="upper center", ncols=3, fontsize=9, columnspacing=1, handlelength=1.5)
    for ax in grid[1]:
        ax.set_xlabel(_LAMBDA)
    where = f"{interpolation['num_pairs']} pairs from the {short(interpolation['data'])} set"
    gradient = f"gradient with respect to {short(interpolation['gradient']['with_respect_to'], 40)}"
    figure.suptitle(f"{where}; {gradient}", fontsize=10)
    return figure


def compare_interpolation(ax: Axes, reports: Mapping[str, RobustnessReport]) -> None:
    """The misses of several models over λ; one without the axis has no curve, and leaves its colour free."""
    for colour, report in zip(cycle(COLOURS), reports.values(), strict=False):
        if interpolation := report.axes.get("interpolation"):
            _curve(ax, interpolation["curves"], "miss_rate", colour, 100)
    ax.set(xlabel=_LAMBDA, ylabel="miss rate, %", title="In between: neither class predicted")
    _fit(ax)


def _curve(ax: Axes, curves: Mapping[str, Any], name: str, colour: str, factor: float) -> None:
    """With its interval, shaded."""
    found = {key: factor * np.array(values) for key, values in curves[name].items()}
    ax.plot(curves["lambda"], found["value"], "o-", color=colour, markersize=4, clip_on=False)
    ax.fill_between(curves["lambda"], found["low"], found["high"], color=colour, alpha=0.15, linewidth=0)


def _fit(ax: Axes, room: float = 1.05) -> None:
    """From 0 to a little above all curves."""
    highest = max(np.max(part.get_datalim(ax.transData).y1) for part in ax.collections)
    highest = max(highest, *(np.max(line.get_ydata()) for line in ax.lines))
    ax.set(xlim=(0, 1), ylim=(0, room * highest if highest > 0 else 1))


def _in_between(axes: dict[str, Any]) -> list[str]:
    if not (between := axes.get("interpolation")):
        return []
    return [
        f"In between two examples it predicts the class of neither {show(between['miss_rate'], 100, 1)} % of the "
        f"time, half way {show(between['miss_rate_at_half'], 100, 1)} %."
    ]
