"""What to mix and how strongly. A policy is a frozen record of its settings; `sample` draws one batch's plan.

A new method is a new policy: a frozen dataclass whose `draw` returns a MixPlan, listed in `POLICIES`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hfmix.mixing.plan import MixPlan
from hfmix.mixing.randomness import numpy_generator


@dataclass(frozen=True)
class Batch:
    """What a policy may look at when it draws.

    Attributes:
        size: N.
        shape: of one example; for policies that cut boxes.
        labels: (N,), for policies that pair by class.
        inputs: (N, *shape), for policies that pair by distance.
        progress: of training, in [0, 1], for policies whose strength follows a schedule.
    """

    size: int
    shape: tuple[int, ...] | None = None
    labels: Tensor | None = None
    inputs: Tensor | None = None
    progress: float | None = None


@dataclass(frozen=True)
class Policy(ABC):
    """The base of all policies: compared by value, written and read as a dictionary."""

    name: ClassVar[str]

    def sample(
        self,
        batch_size: int,
        shape: tuple[int, ...] | None = None,
        generator: torch.Generator | None = None,
        labels: Tensor | None = None,
        inputs: Tensor | None = None,
        progress: float | None = None,
    ) -> MixPlan:
        """Draws the plan of one batch, on the CPU.

        Args:
            batch_size: N, at least 1.
            generator: where the randomness comes from; None is torch's global generator.
            shape, labels, inputs, progress: see `Batch`; a policy that needs none of them ignores them.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"a batch has at least one example, not {batch_size}")
        return self.draw(Batch(batch_size, shape, labels, inputs, progress), generator)

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """The plan of one batch, all its randomness from `generator`: what a new policy defines."""

    def to_dict(self) -> dict[str, Any]:
        """The policy as plain values; `policy_from_dict` gives back an equal one."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class ERM(Policy):
    """Empirical risk minimisation: every example as it is."""

    name: ClassVar[str] = "erm"

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """The identity."""
        one = torch.ones(batch.size, 1)
        return MixPlan(torch.arange(batch.size).unsqueeze(1), one, one, one.squeeze(1), batch.size)


@dataclass(frozen=True)
class Mixup(Policy):
    """mixup (Zhang et al. 2018, arXiv 1710.09412): λx_i + (1−λ)x_j, the labels alike.

    One λ ~ Beta(α, α) a batch and a random permutation for the partners, as in the official code.

    Attributes:
        alpha: α > 0; 1 on CIFAR, 0.1 to 0.4 on ImageNet in the paper.
    """

    alpha: float = 1.0

    name: ClassVar[str] = "mixup"

    def __post_init__(self) -> None:
        _check_positive(self, "alpha")

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """N mixed rows."""
        source, weight = _draw_pairs(batch.size, self.alpha, numpy_generator(generator))
        return MixPlan(source, weight, weight, torch.ones(batch.size), batch.size)


@dataclass(frozen=True)
class RegMixup(Policy):
    """RegMixup (Pinto et al. 2022, arXiv 2206.14502): mixup as a regulariser beside the clean loss.

    The 2N rows (clean, then mixed) go through one forward pass, so that BatchNorm sees both together.

    Attributes:
        alpha: α > 0 of λ ~ Beta(α, α); 20 on CIFAR-10, 10 on CIFAR-100 in the paper.
        eta: η > 0, the weight of the mixed loss against the clean one.
        reduction: "mean" gives (CE_clean + η CE_mixed) / (1 + η), the official code's loss for η = 1; "sum" gives
            CE_clean + η CE_mixed, the paper's equation.
    """

    alpha: float = 20.0
    eta: float = 1.0
    reduction: str = "mean"

    name: ClassVar[str] = "regmixup"

    def __post_init__(self) -> None:
        _check_positive(self, "alpha")
        _check_positive(self, "eta")
        if self.reduction not in ("mean", "sum"):
            raise ValueError(f"regmixup: reduction is 'mean' or 'sum', not {self.reduction!r}")

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """N clean rows, then N mixed ones."""
        pairs, pair_weight = _draw_pairs(batch.size, self.alpha, numpy_generator(generator))
        clean = torch.arange(batch.size).unsqueeze(1).expand(-1, 2)
        source = torch.cat([clean, pairs])
        weight = torch.cat([torch.tensor([[1.0, 0.0]]).expand(batch.size, -1), pair_weight])
        scale = 1.0 if self.reduction == "sum" else 1.0 / (1.0 + self.eta)
        row_weight = torch.tensor([scale, self.eta * scale]).repeat_interleave(batch.size)
        return MixPlan(source, weight, weight, row_weight, batch.size)


POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (ERM, Mixup, RegMixup)}


def policy_names() -> list[str]:
    """The names that `get_policy` knows."""
    return list(POLICIES)


def get_policy(name: str, **settings: Any) -> Policy:
    """The policy called `name` with these settings; what is not given keeps its default.

    Raises:
        ValueError: no such policy, a setting that it does not have, or a bad value.
    """
    if name not in POLICIES:
        near = get_close_matches(str(name).lower(), POLICIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(POLICIES)}"
        raise ValueError(f"unknown policy {name!r}: {hint}")
    known = [field.name for field in fields(POLICIES[name])]
    for setting in settings:
        if setting not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{name} has no setting {setting!r}: {has}")
    return POLICIES[name](**settings)


def policy_from_dict(values: Mapping[str, Any]) -> Policy:
    """The inverse of `Policy.to_dict`.

    Raises:
        ValueError: no name, or what `get_policy` refuses.
    """
    if "name" not in values:
        raise ValueError(f"a policy's dictionary has a 'name', this one has {sorted(values)}")
    return get_policy(values["name"], **{key: value for key, value in values.items() if key != "name"})


def _draw_pairs(batch_size: int, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(N, 2) sources (each row and its partner) and (N, 2) weights (λ, 1 − λ), λ drawn in float64."""
    lam = rng.beta(alpha, alpha)
    partner = torch.from_numpy(rng.permutation(batch_size))
    source = torch.stack([torch.arange(batch_size), partner], dim=1)
    return source, torch.tensor([lam, 1.0 - lam], dtype=torch.float32).repeat(batch_size, 1)


def _check_positive(policy: Policy, setting: str) -> None:
    value = getattr(policy, setting)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{policy.name}: {setting} is a finite number above 0, not {value!r}")
