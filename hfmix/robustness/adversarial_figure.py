"""The figure of the adversarial axis: what is left of the accuracy as the ball grows."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.style import COLOURS, GREY, WIDTH
from hfmix.robustness.threats import ATTACKS

_WORDS = {"fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD", "autoattack": "AutoAttack"}
_BALLS = {"linf": "L∞", "l2": "L2"}


def draw_adversarial(axis: dict[str, Any]) -> Figure:
    """Robust accuracy against the radius, from a report's adversarial axis: a line an attack, a panel a norm."""
    settings = axis["settings"]
    figure = Figure(figsize=(WIDTH if len(settings) > 1 else 4.8, 4.0), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for ax, (norm, setting) in zip(panels, settings.items(), strict=True):
        names = setting["eps"]
        in_levels = norm == "linf" and all(name.endswith("_of_255") or eps == 0 for name, eps in names.items())
        radii = np.array([0, *(eps for eps in names.values() if eps > 0)]) * (255 if in_levels else 1)
        for attack in setting["attacks"]:
            found = [axis[norm][attack][name]["robust_accuracy"] for name, eps in names.items() if eps > 0]
            shares = [axis["accuracy"], *found]
            low, high = 100 * np.array([share["ci95"] for share in shares]).T
            colour = COLOURS[ATTACKS.index(attack)]
            values = [100 * share["value"] for share in shares]
            ax.fill_between(radii, low, high, color=colour, alpha=0.15, linewidth=0)
            size = 10 - 2 * ATTACKS.index(attack)  # where lines coincide, all can be seen
            ax.plot(radii, values, "o-", color=colour, markersize=size, clip_on=False, label=_WORDS[attack])
        ax.axhline(100 * axis["accuracy"]["value"], linestyle="--", linewidth=1, color=GREY, label="no attack")
        unit = ", levels of 255" if in_levels else ""
        ax.set(xlabel=f"radius ε in {_BALLS[norm]}{unit}", ylim=(0, 100), title=f"Within {_BALLS[norm]} balls")
        ax.set_xlim(0, radii.max() or 1)
    panels[0].set_ylabel("accuracy under attack, %")
    named = {label: line for ax in panels for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=9)
    return figure
