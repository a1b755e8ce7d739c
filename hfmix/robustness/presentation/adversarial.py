"""The figure of the adversarial axis: what is left of the accuracy as the ball grows."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfmix.robustness.names import ATTACK_NAMES, NORM_NAMES
from hfmix.robustness.presentation.headlines import show
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH
from hfmix.robustness.report import RobustnessReport


def draw_adversarial(axis: dict[str, Any]) -> Figure:
    """Robust accuracy against the radius, from a report's adversarial axis: a line an attack, a panel a norm."""
    settings, order = axis["settings"], list(ATTACK_NAMES)
    figure = Figure(figsize=(WIDTH if len(settings) > 1 else 4.8, 4.0), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for ax, (norm, setting) in zip(panels, settings.items(), strict=True):
        names = setting["eps"]
        in_levels = _in_levels(norm, setting)
        radii = np.array([0, *(eps for eps in names.values() if eps > 0)]) * (255 if in_levels else 1)
        for attack in setting["attacks"]:
            found = [axis[norm][attack][name]["robust_accuracy"] for name, eps in names.items() if eps > 0]
            shares = [axis["accuracy"], *found]
            low, high = 100 * np.array([share["ci95"] for share in shares]).T
            colour = COLOURS[order.index(attack)]
            values = [100 * share["value"] for share in shares]
            ax.fill_between(radii, low, high, color=colour, alpha=0.15, linewidth=0)
            size = 10 - 2 * order.index(attack)  # where lines coincide, all can be seen
            ax.plot(radii, values, "o-", color=colour, markersize=size, clip_on=False, label=ATTACK_NAMES[attack])
        ax.axhline(100 * axis["accuracy"]["value"], linestyle="--", linewidth=1, color=GREY, label="no attack")
        unit = ", levels of 255" if in_levels else ""
        ax.set(
            xlabel=f"radius ε in {NORM_NAMES[norm]}{unit}", ylim=(0, 100), title=f"Within {NORM_NAMES[norm]} balls"
        )
        ax.set_xlim(0, radii.max() or 1)
    panels[0].set_ylabel("accuracy under attack, %")
    named = {label: line for ax in panels for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def compare_adversarial(ax: Axes, reports: Mapping[str, RobustnessReport]) -> None:
    """Accuracy of several models under the strongest attack that each has in the first norm, by radius."""
    named = ""
    for colour, report in zip(cycle(COLOURS), reports.values(), strict=False):
        if axis := report.axes.get("adversarial"):
            norm, setting = next(iter(axis["settings"].items()))
            strongest = setting["attacks"][-1]
            radii = np.array([0, *(eps for eps in setting["eps"].values() if eps > 0)])
            levels = _in_levels(norm, setting)
            found = [
                axis[norm][strongest][key]["robust_accuracy"] for key, eps in setting["eps"].items() if eps > 0
            ]
            shares = [axis["accuracy"], *found]
            low, high = 100 * np.array([share["ci95"] for share in shares]).T
            radii = radii * (255 if levels else 1)
            ax.fill_between(radii, low, high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(radii, [100 * share["value"] for share in shares], "o-", color=colour, markersize=4)
            named = f"{ATTACK_NAMES[strongest]}, {NORM_NAMES[norm]}{', levels of 255' if levels else ''}"
    ax.set(xlabel=f"radius ε ({named})", ylabel="accuracy under attack, %", title="Adversarial input")
    ax.set_ylim(bottom=0)


def _in_levels(norm: str, setting: Mapping[str, Any]) -> bool:
    """Whether all radii are shown in levels of 8 bits."""
    return norm == "linf" and all(name.endswith("_of_255") or eps == 0 for name, eps in setting["eps"].items())


def _under_attack(axes: dict[str, Any]) -> list[str]:
    if not (attacked := axes.get("adversarial")):
        return []
    sentences = []
    for norm, setting in attacked["settings"].items():
        attack, radius = setting["attacks"][-1], list(setting["eps"])[-1]
        kept = show(attacked[norm][attack][radius]["robust_accuracy"], 100, 1)
        ball = f"{NORM_NAMES[norm]} {radius.replace('_of_', '/')}"
        sentences.append(
            f"Of {show(attacked['accuracy'], 100, 1)} % accuracy, {ATTACK_NAMES[attack]} within {ball} leaves "
            f"{kept} %."
        )
    return sentences
