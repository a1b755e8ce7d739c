"""Threats: a norm with radii and attacks, as the adversarial axis takes them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hfmix.robustness.attacks.checks import NORMS
from hfmix.robustness.names import ATTACK_NAMES, eps_name

# from the weakest to the strongest
ATTACKS = tuple(ATTACK_NAMES)
# the usual radii for images
DEFAULT_EPS = {"linf": (2 / 255, 8 / 255), "l2": (0.25, 0.5)}
# AutoAttack with its standard budgets and nine targets: `hfmix.robustness.attacks.auto.forward_passes`
_AUTOATTACK_PASSES = 3_900


@dataclass(frozen=True)
class Threat:
    """The attacks on each example within balls of one norm.

    Args:
        norm: "linf" or "l2".
        eps: radii, as numbers or text such as "8/255", in the input's own range: [0, 1] for images, [-1, 1] for
            sound; None takes `DEFAULT_EPS`.
        attacks: names in `ATTACKS`.
        steps: number of steps of I-FGSM and PGD.
        step_size: length of these steps; None takes eps / steps for I-FGSM and 2.5 eps / steps for PGD, which is
            2/255 for ten steps within 8/255.
        restarts: number of restarts of PGD.

    Raises:
        ValueError: an unknown norm or attack, missing or unreadable radii, or fewer than one step or restart.
    """

    norm: str = "linf"
    eps: Sequence[float | str] | None = None
    attacks: Sequence[str] = ("fgsm", "ifgsm", "pgd")
    steps: int = 10
    step_size: float | None = None
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"unknown norm {self.norm!r}: there are {', '.join(NORMS)}")
        if unknown := [name for name in self.attacks if name not in ATTACKS]:
            raise ValueError(f"unknown attack {unknown[0]!r}: there are {', '.join(ATTACKS)}")
        if self.eps is None:
            object.__setattr__(self, "eps", DEFAULT_EPS[self.norm])
        if not self.attacks or not self.eps:
            raise ValueError(f"a threat in {self.norm} needs one attack and one eps or more")
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1 is needed")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size={self.step_size:g}: a length above 0 is needed")
        eps = tuple(sorted({parse_eps(value) for value in self.eps}))
        if len({eps_name(value) for value in eps}) < len(eps):
            raise ValueError(f"eps {', '.join(map(repr, eps))}: some are equal to six digits: leave one out")
        object.__setattr__(self, "eps", eps)
        object.__setattr__(self, "attacks", tuple(name for name in ATTACKS if name in self.attacks))

    @property
    def passes(self) -> int:
        """The largest number of passes forward and back per example; a forward pass to check counts as one."""
        # with restarts, one extra forward pass compares final losses
        pgd = self.restarts * (self.steps + (self.restarts > 1))
        each = {
            "fgsm": 1,
            "ifgsm": self.steps,
            "pgd": pgd,
            "autoattack": _AUTOATTACK_PASSES,
        }
        radii = sum(1 for value in self.eps if value > 0)
        return radii * sum(each[name] + 1 for name in self.attacks)

    def step_of(self, attack: str, eps: float) -> float:
        """Returns the length of a step of I-FGSM or PGD within a radius."""
        if self.step_size is not None:
            return self.step_size
        return (2.5 if attack == "pgd" else 1.0) * eps / self.steps

    def settings(self, num_classes: int) -> dict[str, Any]:
        """Returns the threat as plain JSON, for a report; step sizes by radius.

        Args:
            num_classes: the model's number of classes, on which AutoAttack's parts depend.
        """
        stepping = [attack for attack in self.attacks if attack in ("ifgsm", "pgd")]
        settings: dict[str, Any] = {"eps": {eps_name(eps): eps for eps in self.eps}, "attacks": list(self.attacks)}
        if stepping:
            settings["steps"] = self.steps
        for attack in stepping:
            settings[f"step_size_{attack}"] = {
                eps_name(eps): self.step_of(attack, eps) for eps in self.eps if eps > 0
            }
        if "pgd" in self.attacks:
            settings["restarts"] = self.restarts
        if "autoattack" in self.attacks:
            from hfmix.robustness.attacks.auto import describe

            settings["autoattack"] = describe(num_classes, self.norm)
        return settings

    @classmethod
    def from_settings(cls, norm: str, settings: Mapping[str, Any]) -> "Threat":
        """Returns the threat that `settings` describes, with its step size where that is not the usual one."""
        steps, restarts = settings.get("steps", 10), settings.get("restarts", 1)
        usual = cls(norm, list(settings["eps"].values()), settings["attacks"], steps, None, restarts)
        sizes = {
            size
            for attack in ("ifgsm", "pgd")
            for name, size in settings.get(f"step_size_{attack}", {}).items()
            if size != usual.step_of(attack, settings["eps"][name])
        }
        return replace(usual, step_size=sizes.pop()) if sizes else usual


def passes(threats: Sequence[Threat]) -> int:
    """Returns the largest number of passes forward and back per example, the one without attack included."""
    return 1 + sum(threat.passes for threat in threats)


def check_threats(threats: Sequence[Threat], bounds: tuple[float, float] | None = None) -> None:
    """Raises a ValueError for no threat, two of one norm, or a radius beyond the range `bounds`; and a
    RuntimeError if AutoAttack's library is missing.
    """
    if not threats:
        raise ValueError("no threat is given: the adversarial axis needs one or more")
    norms = [threat.norm for threat in threats]
    if len(set(norms)) < len(norms):
        raise ValueError(f"several threats in {max(norms, key=norms.count)}: give one a norm, with several eps")
    if any("autoattack" in threat.attacks for threat in threats):
        from hfmix.robustness.attacks.auto import check_installed

        check_installed()
    for threat in threats:
        if bounds is not None and threat.norm == "linf" and threat.eps[-1] > bounds[1] - bounds[0]:
            raise ValueError(
                f"eps {threat.eps[-1]:g} is beyond the whole range, {bounds[0]:g} to {bounds[1]:g}, of the input"
            )


def parse_eps(value: float | str) -> float:
    """Reads a radius from a number, or from text such as "8/255" or "0.5".

    Raises:
        ValueError: it is neither, or below 0.
    """
    if isinstance(value, str):
        number = r"\s*(\d+\.?\d*(?:e-?\d+)?|\.\d+)\s*"
        match = re.fullmatch(f"{number}(?:/{number})?", value)
        if not match or (match[2] is not None and float(match[2]) == 0):
            raise ValueError(f"eps {value!r} is not a number: give one such as 0.03 or 8/255")
        value = float(match[1]) / float(match[2] or 1)
    if not 0 <= value < math.inf:
        raise ValueError(f"eps {value!r}: a radius is 0 or more")
    return float(value)
