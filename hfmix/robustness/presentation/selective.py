"""The view of the selective axis: the error rate among the examples that the model is most confident of."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hfmix.robustness.presentation.base import Axes, Content, DrawPanel, Runs, View, show
from hfmix.robustness.presentation.style import COLOURS, GREY, new_figure, run_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


class SelectiveView(View):
    """Risk and coverage as they are shown."""

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        if "clean" in axes:
            answered = show(axes["selective"]["risk_at_coverage_80"], 100, 1)
            yield (
                f"On the 80 % of the input that it is most confident of, it errs {answered} % of the time; "
                f"on all of it, {100 * (1 - axes['clean']['accuracy']['value']):.1f} %."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"risk_coverage": draw_risk_coverage(axes["selective"])}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any("selective" in axes for axes in runs.values()):
            yield compare_risk

    def listed(self, path: Sequence[str]) -> tuple[str, str] | None:
        return ("clean", "aurc") if list(path) == ["aurc"] else None


VIEW = SelectiveView(
    title="Selective prediction",
    conventions={
        "aurc": ("%", "area under the risk–coverage curve: the error rate, averaged over all coverages"),
        "e_aurc": ("%", "excess of AURC over that of a perfect ranking with as many errors"),
        "risk_at_coverage_80": ("%", "error rate among the 80 % most confident examples"),
        "risk_at_coverage_90": ("%", "error rate among the 90 % most confident examples"),
        "risk_at_coverage_95": ("%", "error rate among the 95 % most confident examples"),
    },
    figures={"risk_coverage": "Error rate over the share of input that is answered"},
)


def draw_risk_coverage(selective: Content) -> "Figure":
    """Draws the error rate among the most confident examples, from a report's selective axis."""
    curve = selective["risk_coverage_curve"]
    coverage, risk = 100 * np.array(curve["coverage"]), 100 * np.array(curve["risk"])
    errors = risk[-1]
    best = 100 * np.maximum(0, 1 - (1 - errors / 100) / np.maximum(coverage / 100, 1e-9))
    figure = new_figure(4.6, 3.8)
    ax = figure.subplots()
    ax.axhline(errors, linestyle="--", linewidth=1, color=GREY, label="chance")
    ax.plot(coverage, best, linestyle=":", color=GREY, label="best possible")
    ax.plot(coverage, risk, color=COLOURS[0], label="this model")
    for key, estimate in selective.items():
        if key.startswith("risk_at_coverage_"):
            at, (low, high) = int(key.rsplit("_", 1)[1]), (100 * bound for bound in estimate["ci95"])
            ax.plot([at, at], [low, high], color=COLOURS[0], alpha=0.4, linewidth=4, label="95 % interval")
    ax.set(xlabel="coverage, % of the examples, most confident first", ylabel="error rate among them, %")
    ax.set(xlim=(0, 100))
    ax.set_title(f"Selective prediction: AURC {100 * selective['aurc']['value']:.2f} %")
    by_label = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))  # one for all intervals
    ax.legend(by_label.values(), by_label.keys(), loc="upper left", fontsize=9)
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    return figure


def compare_risk(ax: "Panel", runs: Runs) -> None:
    """Draws each run's risk–coverage curve."""
    for colour, axes in zip(run_colours(len(runs)), runs.values(), strict=True):
        if selective := axes.get("selective"):
            curve = selective["risk_coverage_curve"]
            ax.plot(100 * np.array(curve["coverage"]), 100 * np.array(curve["risk"]), color=colour)
    ax.set(xlabel="coverage, % of the examples, most confident first", ylabel="error rate among them, %")
    ax.set(xlim=(0, 100), ylim=(0, None), title="Selective prediction")
