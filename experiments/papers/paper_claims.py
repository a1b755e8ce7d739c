"""The papers' claims and published figures as data, and the verdict of a measured difference on a claim."""

from collections.abc import Sequence
from typing import NamedTuple

MIXUP, REGMIXUP = "mixup, 1710.09412", "RegMixup, 2206.14502"
IMAGES, SOUND = ("image",), ("audio",)
FOR_IMAGES = " (claimed for images)"  # of a claim that is tested on sound as well


class Claim(NamedTuple):
    """A claim that a value differs between two methods.

    Attributes:
        source: the paper, with its number on arXiv.
        words: the claim, in our words.
        method, against: values of `mix`.
        figure: the value's paths, as a regular expression; its group `detail` tells several paths apart.
        sign: sign of the difference, `method` less `against`, under the claim.
        kinds: kinds of data on which the claim is tested.
    """

    source: str
    words: str
    method: str
    against: str
    figure: str
    sign: int
    kinds: tuple[str, ...] = IMAGES


_AUROC = "ood/(?P<detail>.+)/msp/auroc"


def _attacked(attack: str) -> str:
    return rf"adversarial/linf/{attack}/(?P<detail>(?!0/)[^/]+)/robust_accuracy"


CLAIMS = (
    Claim(MIXUP, "mixup's test error is lower than ERM's", "mixup", "erm", "clean/accuracy", 1, IMAGES + SOUND),
    Claim(MIXUP, "mixup is right more often than ERM under white-box FGSM", "mixup", "erm", _attacked("fgsm"), 1),
    Claim(
        MIXUP, "mixup is right more often than ERM under white-box I-FGSM", "mixup", "erm", _attacked("ifgsm"), 1
    ),
    Claim(MIXUP, "mixup is right more often than ERM under white-box PGD", "mixup", "erm", _attacked("pgd"), 1),
    Claim(
        MIXUP,
        "in between two examples, mixup predicts a class of neither less often than ERM",
        "mixup",
        "erm",
        "interpolation/miss_rate",
        -1,
    ),
    Claim(
        MIXUP,
        "in between two examples, mixup's gradients are smaller than ERM's",
        "mixup",
        "erm",
        "interpolation/gradient_norm",
        -1,
    ),
    Claim(REGMIXUP, "RegMixup is more accurate than ERM", "regmixup", "erm", "clean/accuracy", 1),
    Claim(REGMIXUP, "RegMixup is more accurate than mixup", "regmixup", "mixup", "clean/accuracy", 1),
    Claim(
        REGMIXUP,
        "RegMixup is more accurate than ERM" + FOR_IMAGES,
        "regmixup",
        "erm",
        "clean/accuracy",
        1,
        SOUND,
    ),
    Claim(
        REGMIXUP,
        "RegMixup is more accurate than mixup" + FOR_IMAGES,
        "regmixup",
        "mixup",
        "clean/accuracy",
        1,
        SOUND,
    ),
    Claim(
        REGMIXUP,
        "RegMixup is more accurate than ERM on corrupted images",
        "regmixup",
        "erm",
        "corruptions/mean_accuracy",
        1,
    ),
    Claim(
        REGMIXUP,
        "RegMixup is more accurate than mixup on corrupted images",
        "regmixup",
        "mixup",
        "corruptions/mean_accuracy",
        1,
    ),
    Claim(REGMIXUP, "RegMixup detects out-of-distribution input better than ERM", "regmixup", "erm", _AUROC, 1),
    Claim(
        REGMIXUP, "RegMixup detects out-of-distribution input better than mixup", "regmixup", "mixup", _AUROC, 1
    ),
    Claim(REGMIXUP, "mixup detects out-of-distribution input worse than ERM", "mixup", "erm", _AUROC, -1),
)

REPRODUCED, UNTOLD, CONTRARY, NO_INTERVAL = "reproduced", "not told apart", "the contrary", "no interval"


def verdict(ci95: Sequence[float] | None, sign: int) -> str:
    """Judges a claim about a difference's sign by the difference's interval."""
    if ci95 is None:
        return NO_INTERVAL
    low, high = sorted(sign * end for end in ci95)
    return REPRODUCED if low > 0 else CONTRARY if high < 0 else UNTOLD


class Published(NamedTuple):
    """A value published by others, in %.

    Attributes:
        data: a folder of recipes/.
        path: path of the value here to compare with.
        net, source: the net that was measured, and where the value was read.
        values: the values by `mix`.
        checked: whether it was read in a copy of the source, and not in a secondary record.
    """

    data: str
    path: str
    net: str
    source: str
    values: dict[str, float]
    checked: bool = True


ACCURACY, CORRUPTED, ECE = "clean/accuracy", "corruptions/mean_accuracy", "calibration/ece_15"
_BASELINES = "uncertainty-baselines' tables"

# of several for one method, the main table shows the first
PUBLISHED = (
    Published("cifar10", ACCURACY, "PreAct ResNet-18", MIXUP, {"erm": 94.4, "mixup": 95.8}),
    Published("cifar10", ACCURACY, "WRN-28-10", MIXUP, {"erm": 96.2, "mixup": 97.3}),
    Published("cifar10", ACCURACY, "DenseNet-BC-190", MIXUP, {"erm": 96.3, "mixup": 97.3}),
    Published(
        "cifar10", ACCURACY, "WRN-28-10", REGMIXUP, {"erm": 96.14, "mixup": 97.01, "regmixup": 97.46}, False
    ),
    Published(
        "cifar10", ACCURACY, "ResNet-50", REGMIXUP, {"erm": 95.19, "mixup": 96.05, "regmixup": 96.71}, False
    ),
    Published("cifar10", ACCURACY, "WRN-28-10", _BASELINES, {"erm": 96.0}),
    Published(
        "cifar10", CORRUPTED, "WRN-28-10", REGMIXUP, {"erm": 76.60, "mixup": 81.68, "regmixup": 83.13}, False
    ),
    Published("cifar10", CORRUPTED, "WRN-28-10", _BASELINES, {"erm": 76.1}),
    Published("cifar10", ECE, "WRN-28-10", _BASELINES, {"erm": 2.31}),
    Published("cifar100", ACCURACY, "PreAct ResNet-18", MIXUP, {"erm": 74.4, "mixup": 78.9}),
    Published("cifar100", ACCURACY, "WRN-28-10", MIXUP, {"erm": 80.6, "mixup": 82.5}),
    Published("cifar100", ACCURACY, "DenseNet-BC-190", MIXUP, {"erm": 81.0, "mixup": 83.2}),
    Published(
        "cifar100", ACCURACY, "WRN-28-10", REGMIXUP, {"erm": 81.58, "mixup": 82.60, "regmixup": 83.25}, False
    ),
    Published(
        "cifar100", ACCURACY, "ResNet-50", REGMIXUP, {"erm": 79.19, "mixup": 80.12, "regmixup": 81.52}, False
    ),
    Published("cifar100", ACCURACY, "WRN-28-10", _BASELINES, {"erm": 79.8}),
    Published(
        "cifar100", CORRUPTED, "WRN-28-10", REGMIXUP, {"erm": 52.54, "mixup": 57.6, "regmixup": 59.44}, False
    ),
    Published("cifar100", CORRUPTED, "WRN-28-10", _BASELINES, {"erm": 51.37}),
    Published("cifar100", ECE, "WRN-28-10", _BASELINES, {"erm": 8.57}),
    Published("speech_commands", ACCURACY, "VGG-11", MIXUP, {"erm": 95.4, "mixup": 96.6}),
)
