"""Rows of tables, which training does not change at random."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from hfmix.data.arguments import DataArguments
from hfmix.data.kinds.table import Row, TablePreprocessor


def table_transform(processor: Any, augment: DataArguments | None = None) -> Callable[[Row], dict[str, Tensor]]:
    """Returns the function from a row to a model's inputs.

    Raises:
        ValueError: `augment` sets an augmentation.
    """
    if augment is not None and augment.augmentation not in (None, "none"):
        raise ValueError(f"augmentation {augment.augmentation} is not for tables: leave it out")
    return TablePreprocessor(processor).features
