"""The view of the calibration axis: how far the model's confidence can be trusted."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hfmix.metrics.calibration import calibration_errors
from hfmix.metrics.intervals import wilson_interval
from hfmix.robustness.presentation.base import (
    Axes,
    Content,
    DrawPanel,
    Headline,
    Note,
    Predictions,
    Runs,
    Statistics,
    View,
    show,
)
from hfmix.robustness.presentation.style import (
    COLOURS,
    GREY,
    MAX_NUMBERED,
    WIDTH,
    bar,
    new_figure,
    percent,
    run_colours,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


class CalibrationView(View):
    """Calibration errors and reliability diagrams as they are shown."""

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        calibration = axes["calibration"]
        if "clean" in axes:
            gap = calibration["mean_confidence"]["value"] - axes["clean"]["accuracy"]["value"]
            way = "over-confident" if gap > 0 else "under-confident"
            yield (
                f"On clean input it is {way}: its mean confidence lies {100 * abs(gap):.1f} points "
                f"{'above' if gap > 0 else 'below'} its accuracy."
            )
        if scaled := calibration.get("temperature_scaled"):
            before, after = (show(part["ece_15"], 100, 1) for part in (calibration, scaled))
            yield (
                f"Temperature scaling (logits divided by {scaled['temperature']:.3g}, fitted on validation data) "
                f"takes its ECE from {before} % to {after} %."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"reliability": draw_reliability(axes["calibration"])}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any("calibration" in axes for axes in runs.values()):
            yield compare_calibration

    def listed(self, path: Sequence[str]) -> tuple[str, str]:
        return "clean", " ".join(path)

    def statistics(self, predictions: Predictions) -> Statistics:
        correct, confidence = predictions["predicted"] == predictions["label"], predictions["confidence"]
        n = len(correct)
        yield "calibration/ece_15", lambda counts: calibration_errors(confidence, correct, counts), (n,)

    def notes(self, content: Content) -> Iterator[Note]:
        if temperature := content.get("temperature_scaled", {}).get("temperature"):
            yield Note(f"Temperature scaling divides the logits by {temperature:.3g}, fitted on validation data.")


VIEW = CalibrationView(
    title="Calibration",
    conventions={
        "ece_15": ("%", "expected calibration error of the largest probability, 15 equal-width bins (lo, hi]"),
        "adaptive_ece_15": ("%", "the same with 15 bins of equal mass"),
        "classwise_ece_15": (
            "%",
            "the mean over the classes of the calibration error of their probability, 15 bins",
        ),
        "brier": (
            "",
            "squared distance of the probabilities to the label's, summed over the classes, from 0 to 2",
        ),
        "mean_confidence": ("%", "mean of the largest probability"),
    },
    figures={"reliability": "Reliability diagram: accuracy over confidence"},
    fixed_headlines=(Headline("ECE, % ↓", "calibration/ece_15", 100, 1),),
)


def draw_reliability(calibration: Content) -> "Figure":
    """Draws the reliability diagram; a second one after temperature scaling where there is a temperature."""
    panels = {"Reliability": calibration}
    if "temperature_scaled" in calibration:
        scaled = calibration["temperature_scaled"]
        panels = {"As it is": calibration, f"Logits ÷ {scaled['temperature']:.3g}": scaled}
    figure = new_figure(WIDTH if len(panels) > 1 else 4.8, 4.9)
    grid = figure.subplots(2, len(panels), sharex=True, sharey="row", height_ratios=[3, 1], squeeze=False)
    for (top, bottom), (title, part) in zip(grid.T, panels.items(), strict=True):
        _reliability(top, bottom, part)
        top.set_title(f"{title}: ECE {percent(part['ece_15'])}")
        bottom.set_xlabel("confidence in the predicted class")
    grid[0, 0].set_ylabel("accuracy")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.get_layout_engine().set(wspace=0.06)
    grid[1, 0].set_ylabel("share of\nexamples")
    return figure


def _reliability(top: "Panel", bottom: "Panel", calibration: Content) -> None:
    count, accuracy, confidence = (
        np.array(calibration["reliability_bins"][key]) for key in ("count", "accuracy", "confidence")
    )
    edges = np.linspace(0, 1, len(count) + 1)
    centre, filled = (edges[:-1] + edges[1:]) / 2, count > 0
    intervals = np.array([wilson_interval(round(a * n), n) for a, n in zip(accuracy, count, strict=True) if n]).T
    top.plot([0, 1], [0, 1], linestyle="--", color=GREY, label="perfect")
    top.vlines(confidence[filled], *intervals, color=COLOURS[0], alpha=0.4, linewidth=4, label="95 % interval")
    dots = {"color": COLOURS[0], "markersize": 5, "clip_on": False}
    top.plot(confidence[filled], accuracy[filled], "o", label="share that is right", **dots)
    top.set(ylim=(-0.02, 1.02), xlim=(0, 1))
    bottom.bar(centre, count / count.sum(), width=0.94 * edges[1], color=GREY)
    bottom.set(ylim=(0, 1))


def compare_calibration(ax: "Panel", runs: Runs) -> None:
    """Draws each run's ECE, and beside it, pale, what temperature scaling leaves of it."""
    contents = [axes.get("calibration", {}) for axes in runs.values()]
    scaled = any("temperature_scaled" in content for content in contents)
    numbered = len(contents) * (1 + scaled) <= MAX_NUMBERED
    for i, (colour, content) in enumerate(zip(run_colours(len(runs)), contents, strict=True)):
        before, after = content.get("ece_15"), content.get("temperature_scaled", {}).get("ece_15")
        bar(ax, i - 0.2 if after else i, 0.38 if after else 0.7, before, colour, numbered=numbered)
        bar(ax, i + 0.2, 0.38, after, colour, 0.4, numbered)
    ax.set(xticks=[], ylabel="ECE (15 bins), %", title="Calibration error")
    ax.set_xlabel("lower is better" + ("; pale: after temperature scaling" if scaled else ""))
    ax.set_ylim(0, 1.08 * ax.get_ylim()[1])
