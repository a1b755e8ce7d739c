"""The figure of `hfmix.toys.surfaces`."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from hfmix.robustness.presentation.style import COLOURS
from hfmix.toys.surfaces import LIMIT, Surface

_BLUE = LinearSegmentedColormap.from_list("white to blue", ["white", COLOURS[0]])
_ENTROPY = "cividis"  # lighter means higher, for every kind of colour vision
_LEVELS = np.linspace(0, 1, 26)  # steps too small to be seen
# class 0 green, class 1 orange, as in the paper; their shapes differ too
_CLASSES = ((COLOURS[2], "o"), (COLOURS[4], "^"))


def draw_surfaces(x: Tensor, y: Tensor, surfaces: Mapping[str, Surface]) -> Figure:
    """Draws a column for each method: p(y = 1 | x) above, the entropy of the prediction below."""
    figure = Figure(figsize=(8.0, 5.15), layout="constrained")
    axes = figure.subplots(2, len(surfaces), sharex=True, sharey=True, squeeze=False)
    for column, (name, surface) in enumerate(surfaces.items()):
        p, entropy = axes[:, column]
        _shade(p, surface.p, _BLUE)
        axis = _axis(len(surface.p))
        p.contour(axis, axis, surface.p, levels=[0.5], colors="black", linewidths=1)
        _scatter(p, x, y)
        p.set_title(name)
        _shade(entropy, surface.entropy, _ENTROPY)
        entropy.scatter(*x.T, s=3, c="white", alpha=0.6, linewidths=0)
        on_data, gap = surface.figures["entropy_data"], surface.figures["entropy_gap"]
        entropy.set_xlabel(f"mean on data {on_data:.2f}, in gap {gap:.2f}")
    for row, (shades, label) in enumerate(((_BLUE, "p(y = 1 | x)"), (_ENTROPY, "entropy, bits"))):
        figure.colorbar(ScalarMappable(cmap=shades), ax=axes[row], label=label, ticks=[0, 0.5, 1], pad=0.02)
    return figure


def _axis(points: int) -> np.ndarray:
    return np.linspace(-LIMIT, LIMIT, points)


def _shade(ax: Axes, values: np.ndarray, shades: Colormap | str) -> None:
    axis = _axis(len(values))
    ax.contourf(axis, axis, values, levels=_LEVELS, cmap=shades, vmin=0, vmax=1, extend="both")
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


def _scatter(ax: Axes, x: Tensor, y: Tensor) -> None:
    for label, (colour, marker) in enumerate(_CLASSES):
        points = x[y == label]
        ax.scatter(*points.T, s=9, c=colour, marker=marker, edgecolors="black", linewidths=0.25)
