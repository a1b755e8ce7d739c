"""What the figures of a report mean, in plain sentences."""

from collections.abc import Callable

from hfmix.robustness.presentation.adversarial import _under_attack
from hfmix.robustness.presentation.headlines import show
from hfmix.robustness.presentation.interpolation import _in_between
from hfmix.robustness.presentation.memorization import _memorized
from hfmix.robustness.report import RobustnessReport


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
