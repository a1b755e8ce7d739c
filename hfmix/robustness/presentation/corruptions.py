"""The figure of the corruptions axis."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.presentation.style import BAD_TO_GOOD


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
