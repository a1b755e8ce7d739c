"""The values of a report that `experiments/results/*.json` keep, and how each is shown."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from hfmix.robustness.names import ATTACK_NAMES, NORM_NAMES
from hfmix.robustness.presentation.base import Headline


class Shown(NamedTuple):
    """A kind of value and how it is shown.

    Attributes:
        pattern: its paths in `RobustnessReport.estimates`, as a regular expression with named parts.
        title: its title, with `{part}` for each of these.
        factor, digits: factor and number of decimals with which it is printed.
        main: whether it is in the main table and the picture.
    """

    pattern: str
    title: str
    factor: float = 100
    digits: int = 1
    main: bool = False


_ATTACKED = r"adversarial/(?P<norm>linf|l2)/(?P<attack>{})/(?P<eps>(?!0/)[^/]+)/robust_accuracy"

# in the order of the tables
SHOWN = (
    Shown("clean/accuracy", "accuracy, % ↑", main=True),
    Shown("clean/nll", "NLL ↓", 1, 3),
    Shown("calibration/ece_15", "ECE, % ↓", main=True),
    Shown("calibration/temperature_scaled/ece_15", "ECE after temperature scaling, % ↓", main=True),
    Shown("calibration/temperature_scaled/nll", "NLL after temperature scaling ↓", 1, 3),
    Shown("corruptions/mean_accuracy", "corrupted accuracy, % ↑", main=True),
    Shown(r"corruptions/mean_accuracy_by_severity/(?P<severity>\d)", "severity {severity} accuracy, % ↑"),
    Shown("corruptions/accuracy/(?P<name>[^/]+)", "{name} accuracy, % ↑"),
    Shown("ood/(?P<name>.+)/msp/auroc", "OOD {name} AUROC, % ↑", main=True),
    Shown("ood/(?P<name>.+)/msp/fpr95_ood_positive", "OOD {name} FPR95, % ↓"),
    Shown("ood/(?P<name>.+)/energy/auroc", "OOD {name} AUROC by energy, % ↑"),
    Shown("ood/(?P<name>.+)/energy/fpr95_ood_positive", "OOD {name} FPR95 by energy, % ↓"),
    Shown(_ATTACKED.format("fgsm"), "{attack} {norm} {eps} accuracy, % ↑", main=True),
    Shown(_ATTACKED.format("ifgsm"), "{attack} {norm} {eps} accuracy, % ↑"),
    Shown(_ATTACKED.format("pgd"), "{attack} {norm} {eps} accuracy, % ↑", main=True),
    Shown(_ATTACKED.format("autoattack"), "{attack} {norm} {eps} accuracy, % ↑"),
    Shown("interpolation/miss_rate", "miss rate in between, % ↓", main=True),
    Shown("interpolation/miss_rate_at_half", "miss rate at λ = ½, % ↓"),
    Shown("interpolation/gradient_norm", "gradient norm in between ↓", 1, 2),
    Shown("interpolation/gradient_norm_at_half", "gradient norm at λ = ½ ↓", 1, 2),
    Shown("interpolation/entropy_between", "entropy in between, nats", 1, 3),
    Shown("interpolation/entropy_at_half", "entropy at λ = ½, nats", 1, 3),
)


def headline_of(path: str) -> Headline | None:
    """Returns how the value of this path is shown; None if it is not."""
    for shown in SHOWN:
        if match := re.fullmatch(shown.pattern, path):
            return Headline(shown.title.format(**_in_words(match.groupdict())), path, shown.factor, shown.digits)
    return None


def headlines_of(paths: Iterable[str], main: bool = False) -> list[Headline]:
    """Returns how the values are shown, in the order of `SHOWN`.

    With `main`, only the main ones, and of each attack only the smallest radius.
    """
    paths, kept = list(dict.fromkeys(paths)), []
    for shown in SHOWN:
        matching = [path for path in paths if re.fullmatch(shown.pattern, path)]
        if main:
            matching = matching[: 1 if shown.pattern.startswith("adversarial") else None] if shown.main else []
        kept += matching
    return [how for path in kept if (how := headline_of(path))]


def _in_words(parts: dict[str, str]) -> dict[str, str]:
    words = {key: part.replace("_of_", "/").replace("_", " ") for key, part in parts.items()}
    names = {"attack": ATTACK_NAMES, "norm": NORM_NAMES}
    return {key: names[key][parts[key]] if key in names else word for key, word in words.items()}
