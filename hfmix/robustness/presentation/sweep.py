"""The figure of a sweep."""

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
_TITLE = 28  # letters that a panel is wide


def draw_sweep(found: Mapping[str, Any], shown: Sequence[Headline], path: Path, over: str = "the seeds") -> None:
    """Writes `sweep_figure`."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        sweep_figure(found, shown, over).savefig(path)


def sweep_figure(found: Mapping[str, Any], shown: Sequence[Headline], over: str = "the seeds") -> "Figure":
    """A panel a figure, a row a recipe: the mean with its interval over the seeds, and each seed's as a dot.

    Args:
        found: what `summarise` gives.
        shown: the figures to draw.
        over: what the intervals are over.
    """
    rows = max(1, -(-len(shown) // _COLUMNS))
    columns = max(1, min(_COLUMNS, len(shown)))
    height = 0.9 + 0.3 * max(3, len(found))
    figure = new_figure(1.8 + 3.1 * columns, 0.4 + height * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for ax, how in zip(grid, shown, strict=False):
        _panel(ax, found, how)
    for ax in grid[len(shown) :]:
        ax.remove()
    figure.supxlabel(f"mean with its 95 % interval over {over}; pale: each seed", fontsize=9)
    return figure


def _panel(ax: "Axes", found: Mapping[str, Any], how: Headline) -> None:
    for y, (colour, recipe) in enumerate(zip(_colours(found), found.values(), strict=True)):
        figure = recipe["figures"].get(how.path)
        if figure is None:
            continue
        values = [how.factor * value for value in figure["values"].values()]
        ax.plot(values, [y + 0.22] * len(values), "o", color=colour, markersize=3, alpha=0.4, markeredgewidth=0)
        mean = how.factor * figure["mean"]
        ends = [how.factor * end for end in figure["ci95"] or ()]
        ax.errorbar(mean, y, xerr=[[mean - ends[0]], [ends[1] - mean]] if ends else None, fmt="o", color=colour)
    ax.set(title=_broken(how.title), ylim=(len(found) - 0.4, -0.6))
    ax.set_yticks(range(len(found)), [short(name, 30) for name in found])
    ax.grid(axis="x", color=GREY, alpha=0.25)


def _broken(title: str) -> str:
    """In lines; the unit and the arrow stay with the last word."""
    return fill(title.replace(", % ", ",\u00a0%\u00a0"), _TITLE).replace("\u00a0", " ")


def _colours(found: Mapping[str, Any]) -> list[str]:
    """The first of the recipes that were measured on the same data has the first colour, and so on."""
    counts: dict[str, int] = {}
    colours = []
    for name, recipe in found.items():
        group = recipe.get("difference", {}).get("to", name)
        colours.append(COLOURS[counts.setdefault(group, 0) % len(COLOURS)])
        counts[group] += 1
    return colours
