"""The robustness of a trained classifier: the axes of its report, measured and shown."""

from importlib import import_module
from typing import Any

from hfmix.robustness.names import AXES, DEFAULT_AXES

__all__ = ["AXES", "DEFAULT_AXES", "attacks"]


def __getattr__(name: str) -> Any:
    if name != "attacks":  # which import torch
        raise AttributeError(f"module 'hfmix.robustness' has no attribute {name!r}")
    return import_module("hfmix.robustness.attacks")
