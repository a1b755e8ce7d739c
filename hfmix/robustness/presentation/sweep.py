"""The figure of a sweep: means over the seeds, a panel a headline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hfmix.robustness.presentation.base import Headline
from hfmix.robustness.presentation.style import COLOURS, GREY, STYLE, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3  # panels abreast
_TITLE = 28  # width of a panel in letters


def draw_sweep(summary: Mapping[str, Any], shown: Sequence[Headline], path: Path, over: str = "the seeds") -> None:
    """Writes `sweep_figure`."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        sweep_figure(summary, shown, over).savefig(path)


def sweep_figure(summary: Mapping[str, Any], shown: Sequence[Headline], over: str = "the seeds") -> "Figure":
    """Draws a panel a headline, a row a recipe: the mean with its interval over the seeds, and each seed as a dot.

    Args:
        summary: the result of `summarise`.
        shown: the headlines to draw.
        over: names what the intervals are taken over.
    """
    rows = max(1, -(-len(shown) // _COLUMNS))
    columns = max(1, min(_COLUMNS, len(shown)))
    height = 0.9 + 0.3 * max(3, len(summary))
    figure = new_figure(1.8 + 3.1 * columns, 0.4 + height * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for ax, headline in zip(grid, shown, strict=False):
        _panel(ax, summary, headline)
    for ax in grid[len(shown) :]:
        ax.remove()
    figure.supxlabel(f"mean with its 95 % interval over {over}; pale: each seed", fontsize=9)
    return figure


def _panel(ax: "Axes", summary: Mapping[str, Any], headline: Headline) -> None:
    for y, (colour, recipe) in enumerate(zip(_colours(summary), summary.values(), strict=True)):
        estimate = recipe["figures"].get(headline.path)
        if estimate is None:
            continue
        values = [headline.factor * value for value in estimate["values"].values()]
        ax.plot(values, [y + 0.22] * len(values), "o", color=colour, markersize=3, alpha=0.4, markeredgewidth=0)
        mean = headline.factor * estimate["mean"]
        ends = [headline.factor * end for end in estimate["ci95"] or ()]
        ax.errorbar(mean, y, xerr=[[mean - ends[0]], [ends[1] - mean]] if ends else None, fmt="o", color=colour)
    ax.set(title=_broken(headline.title), ylim=(len(summary) - 0.4, -0.6))
    ax.set_yticks(range(len(summary)), [short(name, 30) for name in summary])
    ax.grid(axis="x", color=GREY, alpha=0.25)


def _broken(title: str) -> str:
    """Breaks a title into lines; the unit and the arrow stay with the last word."""
    return fill(title.replace(", % ", ",\u00a0%\u00a0"), _TITLE).replace("\u00a0", " ")


def _colours(summary: Mapping[str, Any]) -> list[str]:
    """Returns a colour for each recipe, counted anew among the recipes that were measured on the same data."""
    counts: dict[str, int] = {}
    colours = []
    for name, recipe in summary.items():
        group = recipe.get("difference", {}).get("to", name)
        colours.append(COLOURS[counts.setdefault(group, 0) % len(COLOURS)])
        counts[group] += 1
    return colours
