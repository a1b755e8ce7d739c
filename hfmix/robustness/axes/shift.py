"""The shift axis: the model on further labelled sets, such as the same classes photographed elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hfmix.data.labelled import LabelledData
from hfmix.robustness.axes.base import (
    Axis,
    ClaimedReport,
    Context,
    Measured,
    ReportContent,
    Request,
    log_softmax,
    same_set,
)
from hfmix.robustness.axes.calibration import calibration_axis
from hfmix.robustness.axes.clean import clean_axis
from hfmix.robustness.inference.runner import Outputs


@dataclass(frozen=True)
class Shift(Axis):
    """Accuracy, likelihood and calibration on shifted sets.

    Attributes:
        sets: labelled data by name. A set that holds some of the test set's classes only, such as ImageNet-R's
            200, is measured among these.
    """

    sets: Mapping[str, LabelledData]

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls(request.shift)

    def unavailable(self, context: Context) -> str | None:
        return None if self.sets else "no further labelled data given (shift=)"

    def passes(self, context: Context) -> int:
        return sum(map(len, self.sets.values()))

    def measure(self, context: Context) -> Measured:
        classes = context.test.class_names
        return Measured(
            {
                name: _shift_axis(context.outputs(data), data, classes, context.seed)
                for name, data in self.sets.items()
            }
        )

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self | None:
        return cls(claim.shift())

    @classmethod
    def same_data(cls, path: Sequence[str], claimed: ReportContent, measured: ReportContent) -> bool:
        """See `Axis.same_data`; the test set does not matter."""
        return len(path) > 1 and same_set("shift", path[1], claimed, measured)


def _shift_axis(outputs: Outputs, data: LabelledData, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Measures one set among the classes that it knows."""
    known = [index for index, name in enumerate(classes) if name in data.class_names]
    labels = data.with_classes([classes[index] for index in known]).labels
    log_prob = log_softmax(outputs.logits[:, known])
    clean, calibration = clean_axis(log_prob, labels, seed), calibration_axis(log_prob, labels, seed)
    return {
        "fingerprint_sha256": outputs.fingerprint,
        "num_classes": len(known),
        "accuracy": clean["accuracy"],
        "nll": clean["nll"],
        "ece_15": calibration["ece_15"],
    }
