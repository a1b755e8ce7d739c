"""What an evaluation is asked for, and the data that it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hfmix.data.labelled import LabelledData
from hfmix.robustness.cifar_c import CifarC
from hfmix.robustness.corruptions import SEVERITIES


@dataclass(frozen=True)
class EvaluationSets:
    """The data of an evaluation."""

    test: LabelledData
    corrupted: LabelledData | None
    stored: CifarC | None
    validation: LabelledData | None
    reference: LabelledData | None
    ood: Mapping[str, LabelledData]
    shift: Mapping[str, LabelledData]

    def plain(self) -> list[LabelledData]:
        """Those that the model sees as they are."""
        return [
            data
            for data in (self.test, self.validation, self.reference, *self.ood.values(), *self.shift.values())
            if data is not None
        ]

    def passes(self, num_corruptions: int) -> int:
        """Forward passes of examples."""
        cells = num_corruptions * len(SEVERITIES)
        return sum(map(len, self.plain())) + (cells * len(self.corrupted) if self.corrupted is not None else 0)

    def check(self) -> None:
        """Raises a ValueError for a set of another kind than the test set."""
        for data in self.plain():
            if data.kind != self.test.kind:
                raise ValueError(f"the {data.name} set holds {data.kind}, the test set {self.test.kind}")


@dataclass(frozen=True)
class Asked:
    """What of it: see `evaluate_robustness`."""

    axes: Sequence[str]
    corruptions: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    mode: Literal["parity", "corrected"]
    seed: int
