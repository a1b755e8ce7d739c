"""The figure of a comparison, drawn from the `axes` of several reports."""

from pathlib import Path
from typing import TYPE_CHECKING

from hfmix.robustness.presentation import ordered
from hfmix.robustness.presentation.base import Runs
from hfmix.robustness.presentation.style import STYLE, new_figure, run_colours, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_comparison(runs: Runs, path: Path) -> None:
    """Writes one figure with the runs side by side, a panel for each axis that any of them has."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        comparison_figure(runs).savefig(path)


def comparison_figure(runs: Runs) -> "Figure":
    """Draws accuracy by severity or average precision, calibration error, risk and coverage, OOD detection,
    attacks, and misses in between, as far as any run has them.

    Args:
        runs: name to `RobustnessReport.axes`.
    """
    from matplotlib.lines import Line2D

    # accuracy by severity is where accuracy alone would be
    panels = [panel for view in ordered(first=("corruptions",)).values() for panel in view.panels(runs)]
    columns = min(2, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = new_figure(4.7 * columns, 3.7 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, panel in zip(grid, panels, strict=False):
        panel(ax, runs)
    for ax in grid[len(panels) :]:
        ax.remove()
    handles = [Line2D([], [], color=colour, linewidth=5) for colour in run_colours(len(runs))]
    names = [short(name, 32) for name in runs]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(runs), 4))
    return figure
