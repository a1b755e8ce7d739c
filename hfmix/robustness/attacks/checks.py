"""Checks of an attack's inputs, settings and model, with one-line errors."""

import math
from typing import Any

import torch
from torch import Tensor

NORMS = ("linf", "l2")
NO_GRADIENT = (
    "the model's logits have no gradient in the input, as with a quantised or an exported (ONNX) model, or one "
    "that runs under no_grad: attack the PyTorch model it was made from"
)


def check_batch(x: Tensor, y: Tensor, bounds: tuple[float, float]) -> None:
    if not x.is_floating_point():
        raise TypeError(
            f"inputs of {x.dtype}: attacks need floating point between {bounds[0]:g} and {bounds[1]:g}"
        )
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"inputs of shape {tuple(x.shape)}: a batch (B, ...) of one example or more is needed")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(
            f"labels of {y.dtype}, shape {tuple(y.shape)}: attacks need hard labels, {len(x)} integers"
        )
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"labels of shape {tuple(y.shape)} for {len(x)} inputs: attacks need one class each, ({len(x)},)"
        )
    low, high = (float(value) for value in x.detach().aminmax())
    if not (bounds[0] <= low and high <= bounds[1]):  # NaN too
        raise ValueError(
            f"inputs between {low:g} and {high:g}, outside the bounds {bounds[0]:g} to {bounds[1]:g}: attack them "
            "before normalisation, see hfmix.robustness.attacks.attacked_model"
        )


def check_settings(
    x: Tensor, eps: float, step_size: float, steps: int, norm: str, bounds: tuple[float, float]
) -> None:
    if norm not in NORMS:
        raise ValueError(f"unknown norm {norm!r}: there are {', '.join(NORMS)}")
    if steps < 1:
        raise ValueError(f"steps={steps}: at least 1 is needed")
    widest = bounds[1] - bounds[0]
    if norm == "l2":
        widest *= math.sqrt(x[0].numel())
    if not 0 <= eps <= widest:
        raise ValueError(
            f"eps={eps:g}: it lies between 0 and {widest:g}, all that an input between {bounds[0]:g} and "
            f"{bounds[1]:g} can change in {norm}"
        )
    if not 0 <= step_size < math.inf:
        raise ValueError(f"step_size={step_size:g}: a length, 0 or more, is needed")


def check_logits(logits: Any, y: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(y) or logits.shape[1] < 2:
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model gives {given} for {len(y)} inputs: attacks need logits of shape (B, classes)")
    if not logits.requires_grad:
        raise ValueError(NO_GRADIENT)
    if not logits.isfinite().all():
        row = int((~logits.isfinite().all(1)).nonzero()[0])
        raise ValueError(f"the model gives logits that are not finite, first for example {row} of the batch")
    if y.min() < 0 or y.max() >= logits.shape[1]:
        wrong = int(y.min() if y.min() < 0 else y.max())
        raise ValueError(f"label {wrong} is not a class of the model: its logits have {logits.shape[1]} classes")
