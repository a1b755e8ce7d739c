"""What an evaluation is asked for, and the data that it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hfmix.data.labelled import LabelledData
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.attacks.threats import passes as passes_under_attack
from hfmix.robustness.axes.interpolation import passes as passes_between
from hfmix.robustness.axes.memorization import LearningCurve
from hfmix.robustness.corruptions.cifar_c import CifarC
from hfmix.robustness.corruptions.image.constants import SEVERITIES


@dataclass(frozen=True)
class EvaluationSets:
    """The data of an evaluation."""

    test: LabelledData
    corrupted: LabelledData | None
    stored: CifarC | None
    validation: LabelledData | None
    reference: LabelledData | None
    attacked: LabelledData | None
    between: LabelledData | None
    noisy: LabelledData | None
    ood: Mapping[str, LabelledData]
    shift: Mapping[str, LabelledData]

    def plain(self) -> list[LabelledData]:
        """Those that the model sees as they are."""
        return [
            data
            for data in (
                self.test,
                self.validation,
                self.reference,
                self.noisy,
                *self.ood.values(),
                *self.shift.values(),
            )
            if data is not None
        ]

    def check(self) -> None:
        """Raises a ValueError for a set of another kind than the test set."""
        for data in self.plain():
            check_kind(data, self.test)


def check_kind(data: LabelledData, test: LabelledData) -> None:
    """Raises a ValueError where a set is of another kind than the test set."""
    if data.kind != test.kind:
        raise ValueError(f"the {data.name} set holds {data.kind}, the test set {test.kind}")


@dataclass(frozen=True)
class Asked:
    """What of it: see `evaluate_robustness`."""

    axes: Sequence[str]
    corruptions: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    mode: Literal["parity", "corrected"]
    threats: Sequence[Threat]
    pairs: int
    curve: LearningCurve | None
    seed: int


def passes(sets: EvaluationSets, asked: Asked) -> dict[str, int]:
    """Passes of an example through the model, by what takes them: ``plain``, ``corrupted``, ``attacked``
    (forward and back, at most), ``between`` (half of them back).
    """
    classes = len(sets.test.class_names)
    return {
        "plain": sum(map(len, sets.plain())),
        "corrupted": _count(sets.corrupted) * len(asked.corruptions) * len(SEVERITIES),
        "attacked": _count(sets.attacked) * passes_under_attack(asked.threats),
        "between": 0 if sets.between is None else asked.pairs * passes_between(classes),
    }


def _count(data: LabelledData | None) -> int:
    return 0 if data is None else len(data)
