"""The figure of `hfmix.toys.gans`."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hfmix.mixing import keyed_generator
from hfmix.robustness.presentation.style import COLOURS
from hfmix.toys.gans import LIMIT, SUPPORTS, Snapshot, draw_real

_REAL, _GENERATED = COLOURS[0], COLOURS[1]


def draw_gans(runs: Mapping[tuple[str, str], Sequence[Snapshot]], noise: float) -> Figure:
    """Draws one row for each (data, method) and one column for each snapshot."""
    columns = len(next(iter(runs.values())))
    figure = Figure(figsize=(1.5 * columns + 0.5, 1.72 * len(runs) + 0.6), layout="constrained")
    axes = figure.subplots(len(runs), columns, squeeze=False)
    for row, ((data, method), snapshots) in enumerate(runs.items()):
        real = draw_real(SUPPORTS[data](), noise, 300, keyed_generator(0))
        for ax, snapshot in zip(axes[row], snapshots, strict=True):
            ax.scatter(*snapshot.samples.T, s=3, c=_GENERATED, alpha=0.35, linewidths=0)
            ax.scatter(*real.T, s=3, c=_REAL, linewidths=0)
            ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set(visible=True, color="#cccccc")
            ax.set_xlabel(_caption(snapshot), fontsize=8)
            if row == 0:
                ax.set_title(f"{snapshot.step:,} steps", loc="center", fontsize=10)
        axes[row, 0].set_ylabel(f"{data}, {method}", fontweight="bold")
    marks = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in (_REAL, _GENERATED)]
    figure.legend(
        marks,
        ["real", "generated (below: Wasserstein distance between the two)"],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _caption(snapshot: Snapshot) -> str:
    distance = snapshot.figures["wasserstein"]
    text = f"{distance:.2f}" if distance < 100 else f"{distance:.1g}"
    return f"{text}, all out of view" if snapshot.figures["share_in_view"] == 0 else text
