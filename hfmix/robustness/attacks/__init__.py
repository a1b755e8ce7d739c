"""Adversarial attacks on any classifier, in the input's own range."""

from hfmix.robustness.attacks.gradient import fgsm, ifgsm, pgd
from hfmix.robustness.attacks.inputs import AttackedModel, attacked_model

__all__ = ["AttackedModel", "attacked_model", "fgsm", "ifgsm", "pgd"]
