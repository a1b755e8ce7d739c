"""The view of the corruptions axis: accuracy by corruption and severity."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

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
    mean_of,
    show,
    words,
)
from hfmix.robustness.presentation.style import bad_to_good, new_figure, run_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


class CorruptionsView(View):
    """Accuracy under corruption as it is shown."""

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        accuracy = axes["corruptions"]["accuracy"]
        means = {
            name: sum(estimate["value"] for estimate in by_severity.values()) / len(by_severity)
            for name, by_severity in accuracy.items()
        }
        worst = min(means, key=means.get)
        at_worst = show(accuracy[worst]["5"], 100, 1)
        yield f"{words(worst).capitalize()} hurts it most: accuracy {at_worst} % at severity 5."

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"corruptions": draw_corruptions(axes)}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any("corruptions" in axes for axes in runs.values()):
            yield compare_by_severity

    def basis(self, content: Content, seed: int) -> dict[str, Any]:
        return {
            "corruptions": (
                seed,
                content["mean_accuracy"]["n"],
                sorted(content["accuracy"]),
                *(content.get(key) for key in ("mode", "frost")),
            )
        }

    def listed(self, path: Sequence[str]) -> tuple[str, str]:
        if path[0] == "accuracy":
            return path[1], f"accuracy at severity {path[2]}"
        return "all-corruptions", " ".join(path)

    def statistics(self, predictions: Predictions) -> Statistics:
        if "corrupted_accuracy" in predictions:
            by_example = predictions["corrupted_accuracy"]
            yield "corruptions/mean_accuracy", mean_of(by_example), (len(by_example),)

    def notes(self, content: Content) -> Iterator[Note]:
        mode, frost = content.get("mode"), content.get("frost")
        parts = []
        if applied := content.get("applied"):
            parts.append(f"Applied {applied}.")
        if mode:
            parts.append(f"Mode: {mode}.")
        if frost == "procedural":
            parts.append(Markup("The frost is drawn; the photographs come with <code>hfmix[frost]</code>."))
        elif frost:
            parts.append(f"The frost is photographed ({frost}).")
        yield Note(Markup(" ").join(parts))
        if quirks := {_quirk(name): text for name, text in content.get("quirks", {}).items()}:
            followed = {
                "parity": ", and this measurement follows the code",
                "corrected": ", and this measurement does not follow the code",
            }
            yield Note(
                f"Where the code that made ImageNet-C departs from its paper{followed.get(mode, '')}:",
                quirks,
            )

    def definition(self, content: Content, escape: Callable[[str], str]) -> str:
        """Returns how the input was corrupted: the source that is followed, its known faults, and the frost."""
        texts = [
            f"corrupted accuracy is the mean over {len(content['accuracy'])} corruptions at 5 severities, "
            f"applied {escape(content['applied'])}"
        ]
        quirks = ", ".join(_quirk(name) for name in content.get("quirks", {}))
        if quirks:
            texts[0] += " ([arXiv 1903.12261](https://arxiv.org/abs/1903.12261))"
            followed = content["mode"] == "parity"
            texts.append(
                f"where ImageNet-C's code departs from its paper ({quirks}) "
                f"the {'code' if followed else 'paper'} is followed, see `quirks` in `robustness.json`"
            )
        if content.get("frost"):
            drawn = content["frost"] == "procedural"
            texts.append(f"the frost is {'drawn' if drawn else 'photographed'} (`{content['frost']}`)")
        return "; ".join(texts)


VIEW = CorruptionsView(
    title="Corrupted input",
    conventions={
        "mean_accuracy": (
            "%",
            "accuracy averaged over all corruptions and severities; the bootstrap resamples whole examples",
        ),
        "mean_ece_15": ("%", "calibration error averaged over all corruptions and severities"),
        "mean_nll": ("", "negative log-likelihood in nats, averaged over all corruptions and severities"),
        "mean_accuracy_by_severity": ("%", "accuracy averaged over all corruptions"),
        "mce_alexnet": ("%", "mean corruption error: errors over AlexNet's, by corruption, averaged"),
        "relative_mce_alexnet": ("%", "the same for what corruption adds to the clean error"),
    },
    figures={"corruptions": "Accuracy by corruption and severity"},
    fixed_headlines=(Headline("corrupted accuracy, % ↑", "corruptions/mean_accuracy", 100, 1),),
    rows="corrupted_row",
)


def _quirk(name: str) -> str:
    """Returns a key of ``quirks`` as it is read; the one of all corruptions is about rounding grey levels."""
    return "grey levels" if name == "all" else words(name)


def draw_corruptions(axes: Axes) -> "Figure":
    """Draws accuracy as a heat map, a row a corruption, a column a severity."""
    corruptions = axes["corruptions"]
    names = [*corruptions["accuracy"], "mean"]
    rows = [*corruptions["accuracy"].values(), corruptions["mean_accuracy_by_severity"]]
    severities = list(rows[0])
    values = np.array([[row[severity]["value"] for severity in severities] for row in rows])
    if "clean" in axes:
        values = np.column_stack([np.full(len(rows), axes["clean"]["accuracy"]["value"]), values])
        severities = ["clean", *severities]
    figure = new_figure(5.6, 1.4 + 0.36 * len(rows))
    ax = figure.subplots()
    ax.imshow(values, cmap=bad_to_good(), vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{100 * value:.1f}", ha="center", va="center", fontsize=9)
    ax.axhline(len(rows) - 1.5, color="white", linewidth=3)
    ax.set_xticks(range(len(severities)), severities)
    ax.set_yticks(range(len(names)), [words(name) for name in names])
    ax.set(xlabel="severity", title="Accuracy under corruption, %")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def compare_by_severity(ax: "Panel", runs: Runs) -> None:
    """Draws each run's accuracy by severity, 0 being clean input."""
    for colour, axes in zip(run_colours(len(runs)), runs.values(), strict=True):
        estimates = {"0": axes.get("clean", {}).get("accuracy")}
        estimates |= axes.get("corruptions", {}).get("mean_accuracy_by_severity", {})
        estimates = {int(severity): estimate for severity, estimate in estimates.items() if estimate}
        y = [100 * estimate["value"] for estimate in estimates.values()]
        ax.plot(list(estimates), y, "o-", color=colour, markersize=4)
        low, high = np.array([estimate["ci95"] for estimate in estimates.values()]).reshape(-1, 2).T * 100
        ax.fill_between(list(estimates), low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set(xlabel="severity of corruption (0: clean)", ylabel="accuracy, %", title="Accuracy")
    ax.set_xticks(range(6))
