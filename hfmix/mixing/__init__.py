"""What to mix (policies) and how a draw is applied (plans). Pure torch: usable without the Trainer."""

from hfmix.mixing.plan import MixedTargets, MixPlan
from hfmix.mixing.policies import ERM, Batch, Mixup, Policy, RegMixup, get_policy, policy_from_dict, policy_names
from hfmix.mixing.randomness import keyed_generator

__all__ = [
    "ERM",
    "Batch",
    "MixPlan",
    "MixedTargets",
    "Mixup",
    "Policy",
    "RegMixup",
    "get_policy",
    "keyed_generator",
    "policy_from_dict",
    "policy_names",
]
