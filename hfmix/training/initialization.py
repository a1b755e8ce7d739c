"""Weights of a new net that are computed from the training data before training."""

from typing import Any

import torch
from torch import nn

from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.datasets.streamed import StreamedData
from hfmix.data.labelled import LabelledData

_NUM_VALUES = 5_000 * 3 * 32 * 32  # 5,000 images of CIFAR; fewer of larger ones, so that they fit in memory


def initialize_from_data(model: nn.Module, train: LabelledData | StreamedData, processor: Any) -> int:
    """Calls ``initialize_from(inputs)`` of the net within `model` that has such a method, such as `Airbench`.

    The inputs are training examples as the processor returns them, without augmentation: the same ones for every
    seed of training.

    Returns:
        The number of examples; 0 if there is no such net.

    Raises:
        ValueError: there is one, and the training data are a stream.
    """
    net = next((module for module in model.modules() if hasattr(module, "initialize_from")), None)
    if net is None:
        return 0
    if isinstance(train, StreamedData):
        raise ValueError(
            f"{type(net).__name__} takes its first weights from examples of the whole training set, which "
            f"streaming does not hold: leave streaming out"
        )
    transform, name = transform_for(train, processor), model.main_input_name
    count = max(1, _NUM_VALUES // transform(train.example(0))[name].numel())
    examples = Examples(train.sample(count, seed=0), transform)
    net.initialize_from(torch.stack([examples[i][name] for i in range(len(examples))]))
    return len(examples)
