"""Options that say how much the robustness report measures."""

from dataclasses import dataclass, field

from hfmix.robustness.names import AXES, DEFAULT_AXES
from hfmix.utils.arguments import check_positive


@dataclass
class EvaluationArguments:
    """The axes of the report and the number of examples for the costly ones."""

    corruption_samples: int | None = field(
        default=None,
        metadata={"help": "Number of test examples to corrupt; the same subset for every --seed. [all]"},
    )
    axes: list[str] | None = field(
        default=None,
        metadata={
            "help": f"Axes that the report measures, of {', '.join(AXES)}. [{', '.join(DEFAULT_AXES)}; "
            "with label noise also memorization]"
        },
    )
    attack_samples: int | None = field(
        default=None,
        metadata={"help": "Number of test examples to attack; the same subset for every --seed. [all]"},
    )
    pairs: int = field(default=500, metadata={"help": "Number of pairs of examples for the interpolation axis."})
    _argument_group_name = "evaluation"

    def __post_init__(self) -> None:
        check_positive(self, "corruption_samples", "attack_samples", "pairs")
        if unknown := [axis for axis in self.axes or () if axis not in AXES]:
            raise ValueError(f"unknown axis {unknown[0]!r}: there are {', '.join(AXES)}")
