"""Options that say how much the robustness report measures."""

from dataclasses import dataclass, field

from hfmix.robustness.names import AXES, DEFAULT_AXES
from hfmix.utils.arguments import check_positive


@dataclass
class EvaluationArguments:
    """How much is measured when the training is over."""

    corruption_samples: int | None = field(
        default=None,
        metadata={"help": "Corrupt so many test images for the report, the same ones whatever the --seed. [all]"},
    )
    axes: list[str] | None = field(
        default=None,
        metadata={
            "help": f"What the report measures, of {', '.join(AXES)}. [{', '.join(DEFAULT_AXES)}; "
            "with label noise memorization too]"
        },
    )
    attack_samples: int | None = field(
        default=None,
        metadata={"help": "Attack so many test examples for the axis adversarial, the same ones. [all]"},
    )
    pairs: int = field(
        default=500, metadata={"help": "Measure in between so many pairs of examples for the axis interpolation."}
    )
    _argument_group_name = "evaluation"

    def __post_init__(self) -> None:
        check_positive(self, "corruption_samples", "attack_samples", "pairs")
        if unknown := [axis for axis in self.axes or () if axis not in AXES]:
            raise ValueError(f"unknown axis {unknown[0]!r}: there are {', '.join(AXES)}")
