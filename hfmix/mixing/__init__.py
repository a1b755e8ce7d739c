"""Policies, which say what to mix, and plans, which apply a draw. Pure torch and NumPy; no Trainer needed."""

from hfmix.mixing.manifold import layer_names, mixing_at
from hfmix.mixing.plan import MixPlan
from hfmix.mixing.policies import (
    ERM,
    Batch,
    CutMix,
    DirichletMixup,
    InputMixup,
    ManifoldMixup,
    Mixup,
    OneOf,
    Policy,
    RegMixup,
    ResizeMix,
    TimeCutMix,
    get_policy,
    policy_from_dict,
    policy_names,
)
from hfmix.mixing.policies.cut import cut_plan
from hfmix.mixing.policies.pairs import pair_plan
from hfmix.mixing.presets import (
    official_cutmix,
    official_mixup,
    official_regmixup,
    timm_mixup,
    torchvision_cutmix,
    torchvision_mixup,
)
from hfmix.mixing.schedule import Schedule
from hfmix.mixing.targets import MixedTargets
from hfmix.utils.randomness import keyed_generator

__all__ = [
    "ERM",
    "Batch",
    "CutMix",
    "DirichletMixup",
    "InputMixup",
    "ManifoldMixup",
    "MixPlan",
    "MixedTargets",
    "Mixup",
    "OneOf",
    "Policy",
    "RegMixup",
    "ResizeMix",
    "Schedule",
    "TimeCutMix",
    "cut_plan",
    "get_policy",
    "keyed_generator",
    "layer_names",
    "mixing_at",
    "official_cutmix",
    "official_mixup",
    "official_regmixup",
    "pair_plan",
    "policy_from_dict",
    "policy_names",
    "timm_mixup",
    "torchvision_cutmix",
    "torchvision_mixup",
]
