"""A batch's inputs under a plan: floating-point inputs are mixed, masks and lengths joined, others refused."""

from typing import Any

from torch import Tensor

from hfmix.mixing.plan import LENGTH_NAMES, MASK_NAMES, MixPlan

_JOINED = frozenset(MASK_NAMES + LENGTH_NAMES)


def mixed_inputs(plan: MixPlan, inputs: dict[str, Any], main: str) -> dict[str, Any]:
    """Returns the inputs of the plan's rows.

    Args:
        plan: the batch's plan; if it names a layer, inputs stay as they are and only masks and lengths are joined.
        inputs: the model's inputs by name, without labels.
        main: the main input's name.

    Raises:
        ValueError: an input has no mixture: token ids, flags, masks of an unknown meaning, strings.
    """
    others = sorted(name for name, value in inputs.items() if name != main and not _can_mix(name, value))
    if others:
        raise ValueError(
            f"the batch holds {', '.join(others)} beside {main} and labels: hfmix mixes floating-point inputs "
            f"and joins masks and lengths called {', '.join(MASK_NAMES + LENGTH_NAMES)}; remove the rest in "
            f"the data set or the collator"
        )
    if plan.layer is None:
        return plan.apply(inputs)
    # the layer mixes the inputs' features, which are real where any source of a row is
    return {**inputs, **plan.apply({name: inputs[name] for name in _JOINED & inputs.keys()})}


def _can_mix(name: str, value: Any) -> bool:
    return name in _JOINED or (isinstance(value, Tensor) and value.is_floating_point() and "mask" not in name)
