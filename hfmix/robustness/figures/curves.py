"""The curves of a report: risk against coverage, and ROC curves of the OOD scores."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.figures.style import COLOURS, GREY, WIDTH, short

# Dempster–Shafer is not drawn: its curve is that of the energy
_SCORE_NAMES = {
    "msp": "largest probability",
    "max_logit": "largest logit",
    "energy": "energy",
    "entropy": "entropy",
    "gen": "GEN",
    "knn": "k-NN",
    "mahalanobis": "Mahalanobis",
}


def draw_risk_coverage(selective: dict[str, Any]) -> Figure:
    """The error rate among the most confident examples, from a report's selective axis."""
    curve = selective["risk_coverage_curve"]
    coverage, risk = 100 * np.array(curve["coverage"]), 100 * np.array(curve["risk"])
    errors = risk[-1]
    best = 100 * np.maximum(0, 1 - (1 - errors / 100) / np.maximum(coverage / 100, 1e-9))
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.axhline(errors, linestyle="--", linewidth=1, color=GREY, label="chance")
    ax.plot(coverage, best, linestyle=":", color=GREY, label="best possible")
    ax.plot(coverage, risk, color=COLOURS[0], label="this model")
    for key, found in selective.items():
        if key.startswith("risk_at_coverage_"):
            at, (low, high) = int(key.rsplit("_", 1)[1]), (100 * bound for bound in found["ci95"])
            ax.plot([at, at], [low, high], color=COLOURS[0], alpha=0.4, linewidth=4, label="95 % interval")
    ax.set(xlabel="coverage, % of the examples, most confident first", ylabel="error rate among them, %")
    ax.set(xlim=(0, 100))
    ax.set_title(f"Selective prediction: AURC {100 * selective['aurc']['value']:.2f} %")
    named = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))  # one for all intervals
    ax.legend(named.values(), named.keys(), loc="upper left", fontsize=9)
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    return figure


def draw_roc(ood: dict[str, Any]) -> Figure:
    """One panel for each OOD set of a report's ood axis, with a curve for each score, best AUROC first."""
    columns = min(2, len(ood))
    rows = -(-len(ood) // columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else 4.6, 4.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, found) in zip(panels, ood.items(), strict=False):
        ax.plot([0, 100], [0, 100], linestyle="--", linewidth=1, color=GREY)
        colours = dict(zip(_SCORE_NAMES, COLOURS, strict=True))
        for score in sorted(_SCORE_NAMES.keys() & found.keys(), key=lambda s: -found[s]["auroc"]["value"]):
            fpr, tpr = (100 * np.array(found[score]["roc"][key]) for key in ("fpr", "tpr"))
            label = f"{100 * found[score]['auroc']['value']:.1f}  {_SCORE_NAMES[score]}"
            ax.plot(fpr, tpr, color=colours[score], linewidth=1.5, label=label)
        ax.set(xlabel=f"{short(name)} accepted, %", ylabel="test set accepted, %")
        ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        ax.set_title(f"ROC: {short(name)}")
        below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.15), "ncols": 2, "columnspacing": 1}
        ax.legend(fontsize=9, title="AUROC, %", title_fontsize=9, alignment="left", handlelength=1.2, **below)
    for ax in panels[len(ood) :]:
        ax.remove()
    return figure
