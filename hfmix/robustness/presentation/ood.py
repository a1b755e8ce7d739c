"""The figures of the OOD axis."""

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.axes.ood_scores import SCORES
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, percent, short


def draw_roc(ood: dict[str, Any]) -> Figure:
    """One panel for each OOD set of a report's ood axis, with a curve for each score, best AUROC first."""
    labels = {name: score.label for name, score in SCORES.items() if score.label is not None}
    colours = dict(zip(labels, cycle(COLOURS), strict=False))
    columns = min(2, len(ood))
    rows = -(-len(ood) // columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else 4.6, 4.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, found) in zip(panels, ood.items(), strict=False):
        ax.plot([0, 100], [0, 100], linestyle="--", linewidth=1, color=GREY)
        drawn = [score for score in labels if score in found]
        for score in sorted(drawn, key=lambda score: -found[score]["auroc"]["value"]):
            fpr, tpr = (100 * np.array(found[score]["roc"][key]) for key in ("fpr", "tpr"))
            label = f"{100 * found[score]['auroc']['value']:.1f}  {labels[score]}"
            ax.plot(fpr, tpr, color=colours[score], linewidth=1.5, label=label)
        ax.set(xlabel=f"{short(name)} accepted, %", ylabel="test set accepted, %")
        ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        ax.set_title(f"ROC: {short(name)}")
        below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.15), "ncols": 2, "columnspacing": 1}
        ax.legend(fontsize=9, title="AUROC, %", title_fontsize=9, alignment="left", handlelength=1.2, **below)
    for ax in panels[len(ood) :]:
        ax.remove()
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
        ax.set_title(f"{short(name, 18)}: AUROC {percent(found['msp']['auroc'])}")
        ax.legend(loc="upper left", ncols=2, fontsize=9, columnspacing=1)
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
    for ax in panels[len(sets) :]:
        ax.remove()
    return figure
