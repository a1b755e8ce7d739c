"""The figure of the shift axis."""

from typing import Any

from matplotlib.figure import Figure

from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, short


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
