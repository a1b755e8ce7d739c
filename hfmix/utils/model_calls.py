"""Calls of a classifier: the logits among its outputs, and its modes while it is measured."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def logits_of(outputs: Any) -> Tensor:
    """Returns the logits among a model's outputs.

    Args:
        outputs: the logits themselves, a mapping with "logits", an object with `.logits`, or a tuple that begins
            with the logits.

    Raises:
        ValueError: there are none.
    """
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping) and "logits" in outputs:
        return outputs["logits"]
    if getattr(outputs, "logits", None) is not None:
        return outputs.logits
    if isinstance(outputs, Mapping):
        raise ValueError(f"the model's outputs have no 'logits', but {', '.join(outputs)}")
    if isinstance(outputs, tuple | list) and outputs:
        return outputs[0]
    raise ValueError(
        f"the model gives {type(outputs).__name__}, not logits: return a tensor, a mapping with 'logits', an "
        f"object with .logits, or a tuple that begins with the logits"
    )


def call_model(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Returns the model's logits for inputs by name, which lie on its device; the model's modes stay as they are.

    A single input is passed by position, since a plain net may call it anything.
    """
    return logits_of(model(*inputs.values()) if len(inputs) == 1 else model(**inputs))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Puts the model into evaluation mode, without gradients, within the block."""
    # no inference mode, not even the caller's: what a model keeps from it, such as rotary positions, gives no
    # gradients afterwards
    with _evaluation_mode(model), torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def input_gradients(model: Callable[..., Any]) -> Iterator[None]:
    """Puts the model into evaluation mode, with gradients for its inputs alone, within the block.

    Gradients are computed even inside `torch.no_grad` or `torch.inference_mode`. A function, which has neither
    modes nor weights, is taken as well.
    """
    model = model if isinstance(model, nn.Module) else nn.Module()
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with _evaluation_mode(model):
        try:
            for parameter in learnt:
                parameter.requires_grad_(False)
            with torch.inference_mode(False), torch.enable_grad():
                yield
        finally:
            for parameter in learnt:
                parameter.requires_grad_(True)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts the model into evaluation mode, and then each module back into its own: some may be frozen."""
    if not any(module.training for module in model.modules()):  # as within another block: nothing to put back
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        model.train(modes[0][1])  # a model may do more in train() than set flags
        for module, training in modes:
            module.training = training
