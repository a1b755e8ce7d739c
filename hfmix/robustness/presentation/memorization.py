"""The figure of the memorization axis."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH

_BARS = {
    "train_error_true_labels": ("true labels", COLOURS[0]),
    "train_error_wrong_labels": ("wrong labels,\nas trained on", COLOURS[1]),
    "train_error_wrong_labels_against_truth": ("wrong labels,\nagainst the truth", COLOURS[2]),
}


def draw_memorization(axis: dict[str, Any]) -> Figure:
    """The test error by epoch with its best and its last, where it was watched, and the training errors."""
    curve = axis.get("test_error_by_epoch")
    figure = Figure(figsize=(4.6 if curve is None else WIDTH, 3.8), layout="constrained")
    panels = figure.subplots(1, 1 if curve is None else 2, squeeze=False)[0]
    if curve is not None:
        _draw_curve(panels[0], axis)
    _draw_training(panels[-1], axis)
    return figure


def _draw_curve(ax: Axes, axis: dict[str, Any]) -> None:
    epochs, errors = (axis["test_error_by_epoch"][key] for key in ("epoch", "error"))
    ax.plot(epochs, [100 * error for error in errors], color=GREY, marker="." if len(epochs) < 40 else "")
    marks = (("best", axis["best_epoch"], "o", COLOURS[2]), ("last", epochs[-1], "s", COLOURS[1]))
    for name, epoch, marker, colour in marks:
        found = axis[f"{name}_test_error"]
        value, (low, high) = 100 * found["value"], (100 * bound for bound in found["ci95"])
        ax.errorbar(
            epoch,
            value,
            [[max(value - low, 0)], [max(high - value, 0)]],
            fmt=marker,
            color=colour,
            capsize=3,
            label=f"{name}: {value:.1f} %",
        )
    ax.set(xlabel="epoch", ylabel="error, %", title="Test error")
    ax.set_ylim(0, min(100, 1.25 * ax.get_ylim()[1]))
    ax.legend(fontsize=9, loc="lower left")


def _draw_training(ax: Axes, axis: dict[str, Any]) -> None:
    bars = [(axis[key], *words) for key, words in _BARS.items() if key in axis]
    for i, (found, _, colour) in enumerate(bars):
        value, (low, high) = 100 * found["value"], (100 * bound for bound in found["ci95"])
        error = [[max(value - low, 0)], [max(high - value, 0)]]
        ax.bar(i, value, 0.72, color=colour, alpha=0.85, yerr=error, error_kw={"ecolor": "#444444"})
        ax.annotate(f"{value:.1f}", (i, high), (0, 3), textcoords="offset points", ha="center")
    ax.set_xticks(range(len(bars)), [name for _, name, _ in bars], fontsize=8)
    ax.set(ylim=(0, 110), yticks=range(0, 101, 20), ylabel="error, %", title="Training error at the end")


def _memorized(axes: dict[str, Any]) -> list[str]:
    if "train_error_wrong_labels" not in (learnt := axes.get("memorization", {})):
        return []
    wrong = learnt["train_error_wrong_labels"]
    return [
        f"Of the {learnt['num_wrong_labels']:,} wrong labels among its {learnt['num_examples']:,} training "
        f"examples it learnt {100 * (1 - wrong['value']):.1f} % by heart."
    ]
