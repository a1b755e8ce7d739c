"""The figure of the selective axis."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.presentation.style import COLOURS, GREY


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
