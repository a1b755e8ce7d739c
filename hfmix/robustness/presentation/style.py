"""The look of all figures. Importing this file does not import matplotlib."""

from functools import cache
from typing import TYPE_CHECKING

from hfmix.robustness.estimates import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart also with colour-vision deficiency
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 150,
}
WIDTH = 8.0  # inches of a figure with two panels abreast: shown at 800 pixels, its small print has some 12
MAX_NUMBERED = 9  # bars: the numbers above more of them would run into each other


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@cache
def bad_to_good() -> "LinearSegmentedColormap":
    """Returns the colours of a heat map, light enough for black numbers on every one."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("bad_to_good", ["#e8895a", "#fbf3e4", "#8fc4e0"])


def percent(estimate: Estimate) -> str:
    """Returns an estimate in percent as text, without its interval."""
    return f"{100 * estimate['value']:.1f} %"


def with_error(estimate: Estimate) -> tuple[float, float, list[list[float]]]:
    """Returns an estimate in percent: value, upper end, and the lengths (2, 1) of matplotlib's error bars."""
    value, (low, high) = 100 * estimate["value"], (100 * bound for bound in estimate["ci95"])
    return value, high, [[max(value - low, 0)], [max(high - value, 0)]]


def short(name: str, length: int = 24) -> str:
    """Returns a name from users as a label: without underscores, and cut where it is long."""
    text = name.replace("_", " ").replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"


def run_colours(count: int) -> list[str]:
    """Returns a colour for each of the runs of a comparison."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def bar(
    ax: "Axes",
    x: float,
    width: float,
    estimate: Estimate | None,
    colour: str,
    alpha: float = 0.85,
    numbered: bool = True,
) -> None:
    """Draws one bar with its interval and its value above; nothing where the estimate is missing."""
    if not estimate:
        return
    value, high, error = with_error(estimate)
    ax.bar(x, value, width, color=colour, alpha=alpha, yerr=error, error_kw={"elinewidth": 1, "ecolor": "#444444"})
    if numbered:
        behind = {"facecolor": "white", "alpha": 0.7, "pad": 0.5, "linewidth": 0}  # lines do not cross the number
        text = {"ha": "center", "fontsize": 9, "bbox": behind}
        ax.annotate(f"{value:.1f}", (x, max(value, high)), (0, 3), textcoords="offset points", **text)
