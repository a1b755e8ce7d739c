"""The view of the memorization axis: errors on wrong labels, and the test error in the course of training."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hfmix.robustness.presentation.base import Axes, Content, Headline, View
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, new_figure, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_BARS = {
    "train_error_true_labels": ("true labels", COLOURS[0]),
    "train_error_wrong_labels": ("wrong labels,\nas trained on", COLOURS[1]),
    "train_error_wrong_labels_against_truth": ("wrong labels,\nagainst the truth", COLOURS[2]),
}


class MemorizationView(View):
    """Errors on wrong labels as they are shown."""

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        content = axes["memorization"]
        if "train_error_wrong_labels" in content:
            learnt = 100 * (1 - content["train_error_wrong_labels"]["value"])
            yield (
                f"Of the {content['num_wrong_labels']:,} wrong labels among its {content['num_examples']:,} "
                f"training examples it learnt {learnt:.1f} % by heart."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"memorization": draw_memorization(axes["memorization"])}

    def listed(self, path: Sequence[str]) -> tuple[str, str]:
        return "memorization", path[0]


VIEW = MemorizationView(
    title="Wrong labels, and how far they were learnt",
    conventions={
        "train_error_true_labels": (
            "%",
            "error on the training examples whose label is true; Wilson's interval",
        ),
        "train_error_wrong_labels": (
            "%",
            "error against the label trained on, of the training examples whose label is wrong: low where they "
            "were learnt by heart",
        ),
        "train_error_wrong_labels_against_truth": ("%", "error of the same examples against their true class"),
        "best_test_error": (
            "%",
            "lowest test error of all epochs: selected on the test set, no estimate of generalisation",
        ),
        "last_test_error": ("%", "test error at the end of training; Wilson's interval"),
    },
    figures={"memorization": "Errors in the course of training, and on wrong labels"},
    fixed_headlines=(
        Headline("best test error, % ↓", "memorization/best_test_error", 100, 1),
        Headline("last test error, % ↓", "memorization/last_test_error", 100, 1),
        Headline("training error on true labels, % ↓", "memorization/train_error_true_labels", 100, 1),
        Headline("training error on wrong labels, % ↑", "memorization/train_error_wrong_labels", 100, 1),
    ),
)


def draw_memorization(axis: Content) -> "Figure":
    """Draws the test error by epoch with its best and its last, where it was watched, and the training errors."""
    curve = axis.get("test_error_by_epoch")
    figure = new_figure(4.6 if curve is None else WIDTH, 3.8)
    panels = figure.subplots(1, 1 if curve is None else 2, squeeze=False)[0]
    if curve is not None:
        _draw_curve(panels[0], axis)
    _draw_training(panels[-1], axis)
    return figure


def _draw_curve(ax: "Panel", axis: Content) -> None:
    epochs, errors = (axis["test_error_by_epoch"][key] for key in ("epoch", "error"))
    ax.plot(epochs, [100 * error for error in errors], color=GREY, marker="." if len(epochs) < 40 else "")
    marks = (("best", axis["best_epoch"], "o", COLOURS[2]), ("last", epochs[-1], "s", COLOURS[1]))
    for name, epoch, marker, colour in marks:
        value, _, error = with_error(axis[f"{name}_test_error"])
        ax.errorbar(epoch, value, error, fmt=marker, color=colour, capsize=3, label=f"{name}: {value:.1f} %")
    ax.set(xlabel="epoch", ylabel="error, %", title="Test error")
    ax.set_ylim(0, min(100, 1.25 * ax.get_ylim()[1]))
    ax.legend(fontsize=9, loc="lower left")


def _draw_training(ax: "Panel", axis: Content) -> None:
    bars = [(axis[key], *shown) for key, shown in _BARS.items() if key in axis]
    for i, (estimate, _, colour) in enumerate(bars):
        value, high, error = with_error(estimate)
        ax.bar(i, value, 0.72, color=colour, alpha=0.85, yerr=error, error_kw={"ecolor": "#444444"})
        ax.annotate(f"{value:.1f}", (i, high), (0, 3), textcoords="offset points", ha="center")
    ax.set_xticks(range(len(bars)), [name for _, name, _ in bars], fontsize=8)
    ax.set(ylim=(0, 110), yticks=range(0, 101, 20), ylabel="error, %", title="Training error at the end")
