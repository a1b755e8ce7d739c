"""The view of the adversarial axis: the accuracy that is left as the ball grows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from hfmix.robustness.estimates import Estimate
from hfmix.robustness.names import ATTACK_NAMES, NORM_NAMES
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
from hfmix.robustness.presentation.style import COLOURS, GREY, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


class AdversarialView(View):
    """Accuracy under attack as it is shown."""

    def headlines(self, content: Content) -> Iterator[tuple[Headline, Estimate]]:
        """Yields the accuracy under the strongest attack in each norm, by radius."""
        for norm, setting in content.get("settings", {}).items():
            strongest = setting["attacks"][-1]
            for name, eps in setting["eps"].items():
                if eps > 0:
                    title = f"{ATTACK_NAMES[strongest]} {NORM_NAMES[norm]} {_radius(name)} accuracy, % ↑"
                    path = f"adversarial/{norm}/{strongest}/{name}/robust_accuracy"
                    yield Headline(title, path, 100, 1), content[norm][strongest][name]["robust_accuracy"]

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterator[str]:
        content = axes["adversarial"]
        for norm, setting in content.get("settings", {}).items():
            attack, radius = setting["attacks"][-1], list(setting["eps"])[-1]
            kept = show(content[norm][attack][radius]["robust_accuracy"], 100, 1)
            ball = f"{NORM_NAMES[norm]} {_radius(radius)}"
            yield (
                f"Of {show(content['accuracy'], 100, 1)} % accuracy, {ATTACK_NAMES[attack]} within {ball} leaves "
                f"{kept} %."
            )

    def draw(self, axes: Axes) -> dict[str, "Figure"]:
        return {"adversarial": draw_adversarial(axes["adversarial"])}

    def panels(self, runs: Runs) -> Iterator[DrawPanel]:
        if any("adversarial" in axes for axes in runs.values()):
            yield compare_adversarial

    def basis(self, content: Content, seed: int) -> dict[str, Any]:
        return {"attacks": (seed, content["num_samples"], content["settings"])}

    def listed(self, path: Sequence[str]) -> tuple[str, str] | None:
        if path[-1] != "robust_accuracy":
            return None
        return f"attacked by {path[1]}, {path[0]} {_radius(path[2])}", path[3]

    def statistics(self, predictions: Predictions) -> Statistics:
        for name, values in predictions.items():
            if name.startswith("robust/"):
                path = f"adversarial/{name.removeprefix('robust/')}/robust_accuracy"
                yield path, mean_of(values), (len(values),)

    def notes(self, content: Content) -> Iterator[Note]:
        text = f"Attacks are applied {content['applied']}. "
        for norm, setting in content["settings"].items():
            text += f"{norm}: {', '.join(setting['attacks'])}"
            if "steps" in setting:
                text += f", {setting['steps']} steps"
            if setting.get("restarts", 1) > 1:
                text += f", {setting['restarts']} restarts"
            if "autoattack" in setting and not setting["autoattack"]["standard"]:
                text += f"; AutoAttack is not the standard one here: {setting['autoattack']['why_not_standard']}"
            text += ". "
        yield Note(
            f"{text}An example that is broken within a radius or by a weaker attack counts as broken within "
            "larger radii and by stronger attacks."
        )


VIEW = AdversarialView(
    title="Adversarial input",
    conventions={
        "robust_accuracy": (
            "%",
            "share of the examples that are classified correctly and stay so under this attack within this "
            "radius, under weaker attacks and within smaller radii; Wilson's interval",
        ),
        "snr_db": (
            "dB",
            "how far the perturbation lies below the clip, averaged over the clips that are attacked in this way",
        ),
    },
    figures={"adversarial": "Accuracy under attack over the attack's strength"},
    rows="attacked_row",
)


def draw_adversarial(axis: Content) -> "Figure":
    """Draws robust accuracy against the radius, from the adversarial axis: a line an attack, a panel a norm."""
    settings, order = axis["settings"], list(ATTACK_NAMES)
    figure = new_figure(WIDTH if len(settings) > 1 else 4.8, 4.0)
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for ax, (norm, setting) in zip(panels, settings.items(), strict=True):
        in_levels = _in_levels(norm, setting)
        for attack in setting["attacks"]:
            radii, values, low, high = _curve(axis, norm, attack)
            colour = COLOURS[order.index(attack)]
            ax.fill_between(radii, low, high, color=colour, alpha=0.15, linewidth=0)
            size = 10 - 2 * order.index(attack)  # where lines coincide, all can be seen
            ax.plot(radii, values, "o-", color=colour, markersize=size, clip_on=False, label=ATTACK_NAMES[attack])
        ax.axhline(100 * axis["accuracy"]["value"], linestyle="--", linewidth=1, color=GREY, label="no attack")
        unit = ", levels of 255" if in_levels else ""
        ax.set(
            xlabel=f"radius ε in {NORM_NAMES[norm]}{unit}", ylim=(0, 100), title=f"Within {NORM_NAMES[norm]} balls"
        )
        ax.set_xlim(0, radii.max() or 1)
    panels[0].set_ylabel("accuracy under attack, %")
    by_label = {label: line for ax in panels for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def compare_adversarial(ax: "Panel", runs: Runs) -> None:
    """Draws each run's accuracy under the strongest attack that it has in the first norm, by radius."""
    attack_name = ""
    for colour, axes in zip(cycle(COLOURS), runs.values(), strict=False):
        if content := axes.get("adversarial"):
            norm, setting = next(iter(content["settings"].items()))
            strongest = setting["attacks"][-1]
            radii, values, low, high = _curve(content, norm, strongest)
            ax.fill_between(radii, low, high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(radii, values, "o-", color=colour, markersize=4)
            unit = ", levels of 255" if _in_levels(norm, setting) else ""
            attack_name = f"{ATTACK_NAMES[strongest]}, {NORM_NAMES[norm]}{unit}"
    ax.set(xlabel=f"radius ε ({attack_name})", ylabel="accuracy under attack, %", title="Adversarial input")
    ax.set_ylim(bottom=0)


def _curve(axis: Content, norm: str, attack: str) -> tuple[np.ndarray, list[float], np.ndarray, np.ndarray]:
    """Returns radii as they are shown, from 0, and accuracy in percent there with the ends of its intervals."""
    setting = axis["settings"][norm]
    names = {name: eps for name, eps in setting["eps"].items() if eps > 0}
    radii = np.array([0, *names.values()]) * (255 if _in_levels(norm, setting) else 1)
    estimates = [axis["accuracy"], *(axis[norm][attack][name]["robust_accuracy"] for name in names)]
    low, high = 100 * np.array([estimate["ci95"] for estimate in estimates]).T
    return radii, [100 * estimate["value"] for estimate in estimates], low, high


def _in_levels(norm: str, setting: Mapping[str, Any]) -> bool:
    """Returns whether all radii are shown in levels of 8 bits."""
    return norm == "linf" and all(name.endswith("_of_255") or eps == 0 for name, eps in setting["eps"].items())


def _radius(name: str) -> str:
    """Returns the key of a radius as it is read, such as "8/255"."""
    return name.replace("_of_", "/")
