"""Adversarial attacks on any classifier, in the input's own range."""

from typing import TYPE_CHECKING, Any

from hfmix.robustness.attacks.gradient import fgsm, ifgsm, pgd

if TYPE_CHECKING:
    from hfmix.robustness.attacks.inputs import AttackedModel, attacked_model

__all__ = ["AttackedModel", "attacked_model", "fgsm", "ifgsm", "pgd"]


def __getattr__(name: str) -> Any:
    if name in (
        "AttackedModel",
        "attacked_model",
    ):  # importing them imports datasets, which attacking tensors does not need
        from hfmix.robustness.attacks import inputs

        return getattr(inputs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
