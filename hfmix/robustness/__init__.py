"""How a trained classifier holds up: the suite, its axes, its report and its figures."""

from importlib import import_module
from typing import Any

DEFAULT_AXES = ("clean", "calibration", "selective", "corruptions", "shift", "ood")
# those that take gradients, or training data with known wrong labels, are measured when they are asked for
AXES = (*DEFAULT_AXES, "adversarial", "interpolation", "memorization")


def __getattr__(name: str) -> Any:
    if name != "attacks":  # which import torch
        raise AttributeError(f"module 'hfmix.robustness' has no attribute {name!r}")
    return import_module("hfmix.robustness.attacks")
