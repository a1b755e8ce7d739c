"""What the figures of a report mean, in plain sentences."""

from collections.abc import Callable
from typing import Any

from hfmix.robustness.conventions import ATTACK_NAMES, BALL_NAMES
from hfmix.robustness.report import RobustnessReport
from hfmix.robustness.summary import show


def findings(report: RobustnessReport, escape: Callable[[str], str] = str) -> list[str]:
    """What hurts the model most, how far to believe it, what declining gains, what it misses: a sentence each.

    Args:
        report: of `evaluate_robustness`.
        escape: what makes a data set's name fit for Markdown, say.
    """
    axes, sentences = report.axes, []
    if "corruptions" in axes:
        means = {
            name: sum(found["value"] for found in by_severity.values()) / len(by_severity)
            for name, by_severity in axes["corruptions"]["accuracy"].items()
        }
        worst = min(means, key=means.get)
        at_worst = show(axes["corruptions"]["accuracy"][worst]["5"], 100, 1)
        name = worst.replace("_", " ").capitalize()
        sentences.append(f"{name} hurts it most: accuracy {at_worst} % at severity 5.")
    if "calibration" in axes and "clean" in axes:
        gap = axes["calibration"]["mean_confidence"]["value"] - axes["clean"]["accuracy"]["value"]
        way = "over-confident" if gap > 0 else "under-confident"
        sentences.append(
            f"On clean input it is {way}: its mean confidence lies {100 * abs(gap):.1f} points "
            f"{'above' if gap > 0 else 'below'} its accuracy."
        )
    if scaled := axes.get("calibration", {}).get("temperature_scaled"):
        before, after = (show(found["ece_15"], 100, 1) for found in (axes["calibration"], scaled))
        sentences.append(
            f"Temperature scaling (logits divided by {scaled['temperature']:.3g}, fitted on validation data) "
            f"takes its ECE from {before} % to {after} %."
        )
    if "selective" in axes and "clean" in axes:
        answered = show(axes["selective"]["risk_at_coverage_80"], 100, 1)
        sentences.append(
            f"On the 80 % of the input that it is most confident of it errs {answered} % of the time, "
            f"on all of it {100 * (1 - axes['clean']['accuracy']['value']):.1f} %."
        )
    sentences += _under_attack(axes) + _in_between(axes) + _memorized(axes)
    for name, found in axes.get("ood", {}).items():
        missed = found["msp"]["fpr95_ood_positive"]
        sentences.append(
            f"To notice 95 % of {escape(name)} by low confidence, it would flag "
            f"{show(missed, 100, 1)} % of the proper input too."
        )
    return sentences


def _under_attack(axes: dict[str, Any]) -> list[str]:
    if not (attacked := axes.get("adversarial")):
        return []
    sentences = []
    for norm, setting in attacked["settings"].items():
        attack, radius = setting["attacks"][-1], list(setting["eps"])[-1]
        kept = show(attacked[norm][attack][radius]["robust_accuracy"], 100, 1)
        ball = f"{BALL_NAMES[norm]} {radius.replace('_of_', '/')}"
        sentences.append(
            f"Of {show(attacked['accuracy'], 100, 1)} % accuracy, {ATTACK_NAMES[attack]} within {ball} leaves "
            f"{kept} %."
        )
    return sentences


def _in_between(axes: dict[str, Any]) -> list[str]:
    if not (between := axes.get("interpolation")):
        return []
    return [
        f"In between two examples it predicts the class of neither {show(between['miss_rate'], 100, 1)} % of the "
        f"time, half way {show(between['miss_rate_at_half'], 100, 1)} %."
    ]


def _memorized(axes: dict[str, Any]) -> list[str]:
    if "train_error_wrong_labels" not in (learnt := axes.get("memorization", {})):
        return []
    wrong = learnt["train_error_wrong_labels"]
    return [
        f"Of the {learnt['num_wrong_labels']:,} wrong labels among its {learnt['num_examples']:,} training "
        f"examples it learnt {100 * (1 - wrong['value']):.1f} % by heart."
    ]
