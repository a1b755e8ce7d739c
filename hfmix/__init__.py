"""Mixup, RegMixup and their family for timm and Hugging Face classifiers, with the report that proves it.

Importing hfmix is cheap: torch, timm and transformers are imported when a name that needs them is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hfmix.registration import register_with_transformers

__version__ = "0.1.0"

_HOME = {
    "MixPlan": "mixing.plan",
    "MixedTargets": "mixing.targets",
    "Policy": "mixing.policies",
    "ERM": "mixing.policies",
    "Mixup": "mixing.policies",
    "CutMix": "mixing.policies",
    "ResizeMix": "mixing.policies",
    "RegMixup": "mixing.policies",
    "ManifoldMixup": "mixing.policies",
    "DirichletMixup": "mixing.policies",
    "InputMixup": "mixing.policies",
    "TimeCutMix": "mixing.policies",
    "OneOf": "mixing.policies",
    "Schedule": "mixing.schedule",
    "get_policy": "mixing.policies",
    "policy_from_dict": "mixing.policies",
    "mixed_cross_entropy": "losses",
    "mixed_binary_cross_entropy": "losses",
    "MixLoss": "losses",
    "mixup_discriminator_loss": "gan_losses",
    "MixCollator": "collators",
    "BatchMixer": "collators",
    "MixTrainingArguments": "training_args",
    "MixTrainer": "trainer",
    "load_backbone": "backbones",
    "evaluate_robustness": "robustness.suite",
    "RobustnessReport": "robustness.report",
    "corrupt": "robustness.corruptions",
    "corruption_names": "robustness.corruptions",
    "push_to_hub": "hub.publish",
    "load_pretrained": "hub.pretrained",
    "verify": "hub.verify",
}
_ROOMS = ("backbones", "collators", "hub", "losses", "metrics", "mixing", "models", "robustness")

__all__ = [*_HOME, *_ROOMS]

if TYPE_CHECKING:
    from hfmix import backbones, collators, hub, losses, metrics, mixing, models, robustness
    from hfmix.backbones import load_backbone
    from hfmix.collators import BatchMixer, MixCollator
    from hfmix.gan_losses import mixup_discriminator_loss
    from hfmix.hub.pretrained import load_pretrained
    from hfmix.hub.publish import push_to_hub
    from hfmix.hub.verify import verify
    from hfmix.losses import MixLoss, mixed_binary_cross_entropy, mixed_cross_entropy
    from hfmix.mixing.plan import MixPlan
    from hfmix.mixing.policies import (
        ERM,
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
    )
    from hfmix.mixing.schedule import Schedule
    from hfmix.mixing.targets import MixedTargets
    from hfmix.robustness.corruptions import corrupt, corruption_names
    from hfmix.robustness.report import RobustnessReport
    from hfmix.robustness.suite import evaluate_robustness
    from hfmix.trainer import MixTrainer
    from hfmix.training_args import MixTrainingArguments


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"hfmix.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"hfmix.{name}")
    else:
        raise AttributeError(f"module 'hfmix' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_transformers()
