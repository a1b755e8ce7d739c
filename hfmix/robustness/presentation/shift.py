"""The view of the shift axis: accuracy on further labelled sets."""

from typing import TYPE_CHECKING

from hfmix.robustness.presentation.base import Axes, Content, View, words
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, new_figure, short, with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ShiftView(View):
    """Accuracy on shifted sets as it is shown."""

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"shift": draw_shift(axes)}

    def fingerprints(self, content: Content) -> dict[str, str]:
        return {f"shifted set {words(name)}": of_set["fingerprint_sha256"] for name, of_set in content.items()}


VIEW = ShiftView(
    title="Shifted input",
    figures={"shift": "Accuracy on shifted data"},
)


def draw_shift(axes: Axes) -> "Figure":
    """Draws accuracy on the test set and on each shifted one."""
    rows = {short(name): of_set["accuracy"] for name, of_set in axes["shift"].items()}
    if "clean" in axes:
        rows = {"test set": axes["clean"]["accuracy"], **rows}
    figure = new_figure(WIDTH, 1.1 + 0.42 * len(rows))
    ax = figure.subplots()
    for i, (name, estimate) in enumerate(rows.items()):
        value, high, error = with_error(estimate)
        colour = GREY if name == "test set" else COLOURS[0]
        ax.barh(i, value, 0.72, color=colour, alpha=0.85, xerr=error, error_kw={"ecolor": "#444444"})
        ax.annotate(f"{value:.1f}", (max(value, high), i), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set(xlim=(0, 110), xticks=range(0, 101, 20), xlabel="accuracy, %", title="Accuracy on shifted input")
    return figure
