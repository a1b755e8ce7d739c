"""The view of the interpolation axis: predictions in between two examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

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
)
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_LAMBDA = "λ, share of the first example"
# the curve's name, the panel's title, its unit, and what values are multiplied by
_PANELS = (
    ("miss_rate", "Predicted as neither class", "miss rate, %", 100),
    ("gradient_norm", "Gradient norm", "‖∂ logits / ∂ input‖", 1),
    ("entropy_between", "Entropy of the prediction", "nats", 1),
    ("cross_entropy_between", "Cross-entropy to the mixed label", "nats", 1),
)
# the arrays of predictions to the estimates that are their means
_STATISTICS = {
    "between/miss": "miss_rate",
    "between/gradient_norm": "gradient_norm",
    "between/entropy": "entropy_between",
    "between/cross_entropy": "cross_entropy_between",
}


class InterpolationView(View):
    """Predictions in between examples as they are shown."""

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        if content := axes["interpolation"]:
            yield (
                f"In between two examples it predicts the class of neither {show(content['miss_rate'], 100, 1)} % "
                f"of the time, half way {show(content['miss_rate_at_half'], 100, 1)} %."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"interpolation": draw_interpolation(axes["interpolation"])}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any("interpolation" in axes for axes in runs.values()):
            yield compare_interpolation

    def basis(self, content: Content, seed: int) -> dict[str, Any]:
        return {"pairs": content["fingerprint_sha256"]}

    def listed(self, path: Sequence[str]) -> tuple[str, str] | None:
        return ("interpolation", "miss_rate") if list(path) == ["miss_rate"] else None

    def statistics(self, predictions: Predictions) -> Statistics:
        for name, values in predictions.items():
            if name in _STATISTICS:
                yield f"interpolation/{_STATISTICS[name]}", mean_of(values), (len(values),)

    def notes(self, content: Content) -> Iterator[Note]:
        gradient = content["gradient"]
        yield Note(
            f"{content['num_pairs']:,} random pairs from the {content['data']} set; the gradient norm is the "
            f"{gradient['norm']} with respect to {gradient['with_respect_to']}, {gradient['computed']}."
        )


VIEW = InterpolationView(
    title="In between examples",
    conventions={
        "miss_rate": (
            "%",
            "share of the mixtures λx + (1−λ)x' of two examples that are predicted as neither's class, "
            "averaged over pairs and the λ between 0 and 1; the bootstrap resamples pairs",
        ),
        "miss_rate_at_half": ("%", "the same at λ = 1/2; Wilson's interval"),
        "miss_rate_of_different_classes": ("%", "miss rate of the pairs of two classes"),
        "miss_rate_of_same_class": ("%", "miss rate of the pairs of one class"),
        "gradient_norm": (
            "",
            "Frobenius norm of the Jacobian of the logits with respect to the input, at the same mixtures",
        ),
        "gradient_norm_at_half": ("", "the same at λ = 1/2"),
        "entropy_between": ("", "entropy of the probabilities in nats, at the same mixtures"),
        "entropy_at_half": ("", "the same at λ = 1/2"),
        "cross_entropy_between": (
            "",
            "cross-entropy to the mixed label λy + (1−λ)y' in nats, at the same mixtures",
        ),
        "cross_entropy_at_half": ("", "the same at λ = 1/2"),
    },
    figures={"interpolation": "What it predicts between two examples"},
    fixed_headlines=(Headline("miss rate in between, % ↓", "interpolation/miss_rate", 100, 1),),
    rows="pair_rows",
)


def draw_interpolation(interpolation: Content) -> "Figure":
    """Draws four panels over λ, from the interpolation axis: misses, gradient norm, entropy and cross-entropy."""
    figure = new_figure(WIDTH, 6.2)
    grid = figure.subplots(2, 2, sharex=True)
    curves = interpolation["curves"]
    for ax, (name, title, unit, factor) in zip(grid.flat, _PANELS, strict=True):
        _curve(ax, curves, name, COLOURS[0], factor)
        ax.set(title=title, ylabel=unit)
        _fit(ax)
    apart = {"miss_rate_of_different_classes": "two classes", "miss_rate_of_same_class": "one class"}
    apart = {name: label for name, label in apart.items() if name in curves}
    if len(apart) == 2:  # else the curve of all pairs is that of the one kind
        lines = zip(apart.items(), (COLOURS[1], GREY), ("--", ":"), strict=True)
        for (name, label), colour, style in lines:
            values = 100 * np.array(curves[name]["value"])
            grid[0, 0].plot(curves["lambda"], values, linestyle=style, color=colour, label=label)
        grid[0, 0].lines[0].set_label("all pairs")
        _fit(grid[0, 0], 1.35)
        grid[0, 0].legend(loc="upper center", ncols=3, fontsize=9, columnspacing=1, handlelength=1.5)
    for ax in grid[1]:
        ax.set_xlabel(_LAMBDA)
    where = f"{interpolation['num_pairs']} pairs from the {short(interpolation['data'])} set"
    gradient = f"gradient with respect to {short(interpolation['gradient']['with_respect_to'], 40)}"
    figure.suptitle(f"{where}; {gradient}", fontsize=10)
    return figure


def compare_interpolation(ax: "Panel", runs: Runs) -> None:
    """Draws each run's misses over λ; one without the axis has no curve, and leaves its colour free."""
    for colour, axes in zip(cycle(COLOURS), runs.values(), strict=False):
        if interpolation := axes.get("interpolation"):
            _curve(ax, interpolation["curves"], "miss_rate", colour, 100)
    ax.set(xlabel=_LAMBDA, ylabel="miss rate, %", title="In between: neither class predicted")
    _fit(ax)


def _curve(ax: "Panel", curves: Mapping[str, Any], name: str, colour: str, factor: float) -> None:
    """Draws one curve with its interval, shaded."""
    scaled = {key: factor * np.array(values) for key, values in curves[name].items()}
    ax.plot(curves["lambda"], scaled["value"], "o-", color=colour, markersize=4, clip_on=False)
    ax.fill_between(curves["lambda"], scaled["low"], scaled["high"], color=colour, alpha=0.15, linewidth=0)


def _fit(ax: "Panel", room: float = 1.05) -> None:
    """Sets the limits from 0 to a little above all curves."""
    highest = max(np.max(part.get_datalim(ax.transData).y1) for part in ax.collections)
    highest = max(highest, *(np.max(line.get_ydata()) for line in ax.lines))
    ax.set(xlim=(0, 1), ylim=(0, room * highest if highest > 0 else 1))
