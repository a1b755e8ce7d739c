"""The view of the clean axis: accuracy and likelihood on the test set as it is."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hfmix.robustness.presentation.base import DrawPanel, Headline, Predictions, Runs, Statistics, View, mean_of
from hfmix.robustness.presentation.style import bar, run_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel


class CleanView(View):
    """Accuracy, average precision and likelihood as they are shown."""

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        """Yields accuracy, where no run has it by severity of corruption, and average precision."""
        by_severity = any("corruptions" in axes for axes in runs.values())
        if not by_severity and any("accuracy" in axes.get("clean", {}) for axes in runs.values()):
            yield _compare_accuracy
        if any("mean_average_precision" in axes.get("clean", {}) for axes in runs.values()):
            yield _compare_average_precision

    def listed(self, path: Sequence[str]) -> tuple[str, str]:
        return "clean", " ".join(path)

    def statistics(self, predictions: Predictions) -> Statistics:
        correct = predictions["predicted"] == predictions["label"]
        yield "clean/accuracy", mean_of(correct), (len(correct),)
        yield "clean/nll", mean_of(predictions["nll"]), (len(correct),)


VIEW = CleanView(
    title="Clean input",
    conventions={
        "accuracy": ("%", "share of the examples whose largest logit is the label's; Wilson's interval"),
        "top5_accuracy": (
            "%",
            "share of the examples whose label is among the five largest logits; Wilson's interval",
        ),
        "mean_average_precision": (
            "%",
            "mean over the classes of the average precision of finding their examples",
        ),
        "nll": ("", "mean negative log-likelihood of the label, in nats"),
    },
    fixed_headlines=(
        Headline("accuracy, % ↑", "clean/accuracy", 100, 1),
        Headline("mean average precision, % ↑", "clean/mean_average_precision", 100, 1),
        Headline("NLL ↓", "clean/nll", 1, 3),
    ),
)


def _compare_accuracy(ax: "Panel", runs: Runs) -> None:
    _compare(ax, runs, "accuracy")
    ax.set(ylabel="accuracy, %", title="Accuracy")


def _compare_average_precision(ax: "Panel", runs: Runs) -> None:
    _compare(ax, runs, "mean_average_precision")
    ax.set(ylabel="mean average precision, %", title="Classes found")


def _compare(ax: "Panel", runs: Runs, key: str) -> None:
    for i, (colour, axes) in enumerate(zip(run_colours(len(runs)), runs.values(), strict=True)):
        bar(ax, i, 0.7, axes.get("clean", {}).get(key), colour)
    ax.set(xticks=[], ylim=(0, 108))
    ax.set_yticks(range(0, 101, 20))
