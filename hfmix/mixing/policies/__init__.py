"""Policies: what to mix, and how strongly.

A new method is a new policy: a frozen dataclass whose `draw` returns a plan, listed in `POLICIES`.
"""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from hfmix.mixing.policies.base import ERM, Batch, Policy
from hfmix.mixing.policies.combined import OneOf, RegMixup
from hfmix.mixing.policies.cut import CutMix, ResizeMix, TimeCutMix
from hfmix.mixing.policies.pairs import DirichletMixup, InputMixup, ManifoldMixup, Mixup, PairPolicy

__all__ = [
    "ERM",
    "POLICIES",
    "Batch",
    "CutMix",
    "DirichletMixup",
    "InputMixup",
    "ManifoldMixup",
    "Mixup",
    "OneOf",
    "PairPolicy",
    "Policy",
    "RegMixup",
    "ResizeMix",
    "TimeCutMix",
    "get_policy",
    "policy_from_dict",
    "policy_names",
]

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        ERM,
        Mixup,
        CutMix,
        ResizeMix,
        RegMixup,
        ManifoldMixup,
        DirichletMixup,
        InputMixup,
        TimeCutMix,
        OneOf,
    )
}


def policy_names() -> list[str]:
    """Returns the names that `get_policy` knows."""
    return list(POLICIES)


def get_policy(name: str, **settings: Any) -> Policy:
    """Returns the policy called `name` with these settings; others keep their defaults.

    Policies and schedules among the settings may be written as their dictionaries.

    Raises:
        ValueError: an unknown policy or setting, a missing setting, or a bad value.
    """
    if name not in POLICIES:
        near = get_close_matches(str(name).lower(), POLICIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(POLICIES)}"
        if str(name).lower() in ("none", "no", "off", "false", "baseline", "plain", "vanilla"):
            hint = "training without mixing is called 'erm'"
        raise ValueError(f"unknown policy {name!r}: {hint}")
    known = [field.name for field in fields(POLICIES[name])]
    for setting in settings:
        if setting not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{name} has no setting {setting!r}: {has}")
    if name == OneOf.name and "policies" not in settings:
        raise ValueError("one_of needs its policies: a list of policies, or of their dictionaries")
    return POLICIES[name](**{setting: _parsed(value) for setting, value in settings.items()})


def policy_from_dict(values: Mapping[str, Any]) -> Policy:
    """Returns the policy that `Policy.to_dict` wrote as this dictionary.

    Raises:
        ValueError: the name is missing, or as `get_policy`.
    """
    if not isinstance(values, Mapping) or "name" not in values:
        has = sorted(values) if isinstance(values, Mapping) else repr(values)
        raise ValueError(f"a policy's dictionary has a 'name', this one has {has}")
    return get_policy(values["name"], **{key: value for key, value in values.items() if key != "name"})


def _parsed(value: Any) -> Any:
    if isinstance(value, Mapping) and "name" in value:
        return policy_from_dict(value)
    return tuple(_parsed(v) for v in value) if isinstance(value, list) else value
