"""Nets of the toy experiments."""

from itertools import pairwise

import torch
from torch import nn


def perceptron(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Builds fully connected layers with ReLU between them, from `widths[0]` inputs to `widths[-1]` outputs.

    They are initialised as `nn.Linear` is (uniform within ±1/√inputs), from `generator` alone.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
        bound = inputs**-0.5
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
