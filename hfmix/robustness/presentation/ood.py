"""The view of the OOD axis: how well out-of-distribution input is told from the test set."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from hfmix.metrics.detection import Thresholds, auroc_of_counts
from hfmix.robustness.axes.ood_scores import SCORES
from hfmix.robustness.estimates import Estimate
from hfmix.robustness.presentation.base import (
    Axes,
    Content,
    DrawPanel,
    Headline,
    Note,
    Predictions,
    Runs,
    Statistic,
    Statistics,
    View,
    show,
    words,
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
    short,
)
from hfmix.utils.text import for_metadata

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

# title, metric and the better way of the headlines of each set, which are of the largest probability
_HEADLINES = (("AUROC, %", "auroc", "↑"), ("FPR95, %", "fpr95_ood_positive", "↓"))
_LISTED = {(score, metric) for score in ("msp", "energy") for metric in ("auroc", "fpr95_ood_positive")}


class OodView(View):
    """OOD detection as it is shown, by the largest probability in headlines and sentences."""

    def headlines(self, content: Content) -> Iterator[tuple[Headline, Estimate]]:
        for name, of_set in content.items():
            for title, metric, better in _HEADLINES:
                headline = Headline(f"OOD {name} {title} {better}", f"ood/{name}/msp/{metric}", 100, 1)
                yield headline, of_set["msp"][metric]

    def is_headline(self, path: str) -> bool:
        return any(path.endswith(f"/msp/{metric}") for _, metric, _ in _HEADLINES)

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        for name, of_set in axes["ood"].items():
            yield (
                f"To notice 95 % of {escape(name)} by low confidence, it would also flag "
                f"{show(of_set['msp']['fpr95_ood_positive'], 100, 1)} % of in-distribution input."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"ood": draw_confidence(axes["ood"]), "roc": draw_roc(axes["ood"])}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any(axes.get("ood") for axes in runs.values()):
            yield compare_detection

    def basis(self, content: Content, seed: int) -> dict[str, Any]:
        fingerprints = {name: of_set["fingerprint_sha256"] for name, of_set in content.items()}
        return {"out-of-distribution sets": fingerprints}

    def listed(self, path: Sequence[str]) -> tuple[str, str] | None:
        if tuple(path[-2:]) not in _LISTED:
            return None
        return f"against {for_metadata('/'.join(path[:-2]))}", " ".join(path[-2:])

    def statistics(self, predictions: Predictions) -> Statistics:
        confidence = predictions["confidence"]
        for name, scores in predictions.items():
            if name.startswith("msp/"):
                path = f"ood/{name.removeprefix('msp/')}/msp/auroc"
                yield path, _auroc(Thresholds(confidence, scores)), (len(confidence), len(scores))

    def terms(self, content: Content) -> dict[str, str]:
        used = {name for of_set in content.values() for name in of_set}
        return {words(name): f"OOD score: {score.words}" for name, score in SCORES.items() if name in used}

    def fingerprints(self, content: Content) -> dict[str, str]:
        return {f"OOD set {words(name)}": of_set["fingerprint_sha256"] for name, of_set in content.items()}

    def left_out(self, content: Content) -> dict[str, str]:
        return {
            words(name): why for of_set in content.values() for name, why in of_set.get("left_out", {}).items()
        }

    def definition(self, content: Content, escape: Callable[[str], str]) -> str:
        return "OOD detection is by the largest probability, and FPR95 takes out-of-distribution input as positive"


class _GroupsView(View):
    """Means over several OOD sets as they are shown."""

    def notes(self, content: Content) -> Iterator[Note]:
        means = (f"{name}: the mean over {', '.join(group['sets'])}." for name, group in content.items())
        yield Note(" ".join(means))


VIEW = OodView(
    title="Out-of-distribution input",
    beside={
        "ood_groups": _GroupsView("Groups of out-of-distribution sets"),
        "ood_full_spectrum": View("Out-of-distribution input against clean and shifted input"),
    },
    conventions={
        "auroc": ("%", "probability that a test example scores higher than an OOD one, ties counted half"),
        "aupr_in": ("%", "average precision of finding the test set by high scores"),
        "aupr_out": ("%", "average precision of finding OOD input by low scores"),
        "fpr95_ood_positive": ("%", "share of the test set that is flagged when 95 % of the OOD input is"),
        "fpr95_id_positive": ("%", "share of the OOD input that is accepted when 95 % of the test set is"),
    },
    figures={
        "ood": "Confidence on in-distribution and on out-of-distribution input",
        "roc": "ROC curves of detecting out-of-distribution input",
    },
)


def draw_roc(ood: Content) -> "Figure":
    """Draws one panel for each OOD set of a report's ood axis, with a curve for each score, best AUROC first."""
    labels = {name: score.label for name, score in SCORES.items() if score.label is not None}
    colours = dict(zip(labels, cycle(COLOURS), strict=False))
    columns = min(2, len(ood))
    rows = -(-len(ood) // columns)
    figure = new_figure(WIDTH if columns > 1 else 4.6, 4.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, of_set) in zip(panels, ood.items(), strict=False):
        ax.plot([0, 100], [0, 100], linestyle="--", linewidth=1, color=GREY)
        drawn = [score for score in labels if score in of_set]
        for score in sorted(drawn, key=lambda score: -of_set[score]["auroc"]["value"]):
            fpr, tpr = (100 * np.array(of_set[score]["roc"][key]) for key in ("fpr", "tpr"))
            label = f"{100 * of_set[score]['auroc']['value']:.1f}  {labels[score]}"
            ax.plot(fpr, tpr, color=colours[score], linewidth=1.5, label=label)
        ax.set(xlabel=f"{short(name)} accepted, %", ylabel="test set accepted, %")
        ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
        ax.set_title(f"ROC: {short(name)}")
        below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.15), "ncols": 2, "columnspacing": 1}
        ax.legend(fontsize=9, title="AUROC, %", title_fontsize=9, alignment="left", handlelength=1.2, **below)
    for ax in panels[len(ood) :]:
        ax.remove()
    return figure


def draw_confidence(ood: Content) -> "Figure":
    """Draws one panel for each OOD set: the model's confidence on it and on the test set."""
    columns = min(2, len(ood))
    rows = -(-len(ood) // columns)
    figure = new_figure(WIDTH if columns > 1 else 5.2, 0.4 + 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, of_set) in zip(panels, ood.items(), strict=False):
        histogram = of_set["msp_histogram"]
        edges = np.array(histogram["edges"])
        for key, label, colour in (("id", "test set", COLOURS[0]), ("ood", short(name, 18), COLOURS[1])):
            share = np.array(histogram[key]) / sum(histogram[key])
            ax.stairs(share, edges, fill=True, alpha=0.5, color=colour, label=label)
        ax.set(xlabel="confidence (largest probability)", ylabel="share", xlim=(0, 1))
        ax.set_title(f"{short(name, 18)}: AUROC {percent(of_set['msp']['auroc'])}")
        ax.legend(loc="upper left", ncols=2, fontsize=9, columnspacing=1)
        ax.set_ylim(0, 1.25 * ax.get_ylim()[1])
    for ax in panels[len(ood) :]:
        ax.remove()
    return figure


def compare_detection(ax: "Panel", runs: Runs) -> None:
    """Draws each run's AUROC for each OOD set as bars."""
    sets = list(dict.fromkeys(key for axes in runs.values() for key in axes.get("ood", {})))
    width = 0.8 / len(runs)
    numbered = len(sets) * len(runs) <= MAX_NUMBERED
    for i, (colour, axes) in enumerate(zip(run_colours(len(runs)), runs.values(), strict=True)):
        for j, key in enumerate(sets):
            of_set = axes.get("ood", {}).get(key)
            x = j + (i - (len(runs) - 1) / 2) * width
            bar(ax, x, width * 0.92, of_set and of_set["msp"]["auroc"], colour, numbered=numbered)
    room = max(8, 42 // len(sets))  # letters below a group of bars
    ax.set_xticks(range(len(sets)), [fill(short(key), room) for key in sets])
    ax.set(ylabel="AUROC (confidence), %", title="Noticing out-of-distribution input")
    ax.axhline(50, linestyle="--", linewidth=1, color=GREY)
    ax.set(xlabel="dashed: chance")
    ax.set_ylim(0, 108)  # room for a number above the highest bar
    ax.set_yticks(range(0, 101, 20))


def _auroc(thresholds: Thresholds) -> Statistic:
    return lambda *counts: auroc_of_counts(*thresholds.counts_of(*counts))
