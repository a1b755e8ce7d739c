"""The handful of figures that a report comes down to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hfmix.robustness.names import ATTACK_NAMES, NORM_NAMES
from hfmix.robustness.report import RobustnessReport

# title, where in the report, factor for display, digits, which way is better
_HEADLINES = (
    ("accuracy, %", ("clean", "accuracy"), 100, 1, "↑"),
    ("mean average precision, %", ("clean", "mean_average_precision"), 100, 1, "↑"),
    ("NLL", ("clean", "nll"), 1, 3, "↓"),
    ("ECE, %", ("calibration", "ece_15"), 100, 1, "↓"),
    ("corrupted accuracy, %", ("corruptions", "mean_accuracy"), 100, 1, "↑"),
    ("miss rate in between, %", ("interpolation", "miss_rate"), 100, 1, "↓"),
    ("best test error, %", ("memorization", "best_test_error"), 100, 1, "↓"),
    ("last test error, %", ("memorization", "last_test_error"), 100, 1, "↓"),
    ("training error on true labels, %", ("memorization", "train_error_true_labels"), 100, 1, "↓"),
    ("training error on wrong labels, %", ("memorization", "train_error_wrong_labels"), 100, 1, "↑"),
)
_DETECTION = (("AUROC, %", "auroc", "↑"), ("FPR95, %", "fpr95_ood_positive", "↓"))


class Headline(NamedTuple):
    """How a headline figure is shown.

    Attributes:
        title: with the unit, and an arrow that says which way is better.
        path: of the figure, as in `RobustnessReport.estimates`.
        factor, digits: of the figure as text.
    """

    title: str
    path: str
    factor: float
    digits: int


def headline_estimates(report: RobustnessReport) -> dict[Headline, dict[str, Any]]:
    """The headline figures that the report has, in their order."""
    found = {}
    for title, (axis, key), factor, digits, better in _HEADLINES:
        if key in report.axes.get(axis, {}):
            found[Headline(f"{title} {better}", f"{axis}/{key}", factor, digits)] = report.axes[axis][key]
    for name, scores in report.axes.get("ood", {}).items():
        for title, key, better in _DETECTION:
            how = Headline(f"OOD {name} {title} {better}", f"ood/{name}/msp/{key}", 100, 1)
            found[how] = scores["msp"][key]
    adversarial = report.axes.get("adversarial", {})
    for norm, setting in adversarial.get("settings", {}).items():
        strongest = setting["attacks"][-1]
        for name, eps in setting["eps"].items():
            if eps > 0:
                title = f"{ATTACK_NAMES[strongest]} {NORM_NAMES[norm]} {name.replace('_of_', '/')} accuracy, % ↑"
                path = f"adversarial/{norm}/{strongest}/{name}/robust_accuracy"
                found[Headline(title, path, 100, 1)] = adversarial[norm][strongest][name]["robust_accuracy"]
    return found


def headlines(report: RobustnessReport) -> dict[str, str]:
    """Title to text, such as ``{"accuracy, % ↑": "98.9 [97.6, 99.5]"}``, for what the report measured."""
    return {how.title: show(found, how.factor, how.digits) for how, found in headline_estimates(report).items()}


def headline(report: RobustnessReport) -> str:
    """`headlines` in one line."""
    return "; ".join(f"{title[:-2]} {text}" for title, text in headlines(report).items())


def show(found: Mapping[str, Any], factor: float = 1, digits: int = 3) -> str:
    """A figure with its 95 % interval."""
    low, high = found["ci95"]
    return f"{factor * found['value']:.{digits}f} [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"


def show_difference(found: Mapping[str, Any], factor: float, digits: int) -> str:
    """A difference with its sign and its 95 % interval, and a * where that excludes 0."""
    low, high = found["ci95"]
    # + 0.0 makes -0.0 a 0
    value, low, high = (round(factor * number, digits) + 0.0 for number in (found["value"], low, high))
    mark = " *" if found["ci95"][0] > 0 or found["ci95"][1] < 0 else ""
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{mark}"
