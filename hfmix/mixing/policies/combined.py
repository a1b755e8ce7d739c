"""Policies made of other policies: RegMixup, which keeps the clean rows beside the mixed ones, and OneOf."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.mixing.plan import MixPlan
from hfmix.mixing.policies.base import ERM, Batch, Policy, is_number
from hfmix.mixing.policies.cut import CutMix, ResizeMix, TimeCutMix
from hfmix.mixing.policies.pairs import (
    GRANULARITIES,
    DirichletMixup,
    ManifoldMixup,
    Mixup,
    PairPolicy,
    shared_draws,
)
from hfmix.mixing.schedule import Schedule, Strength, at_progress, strength
from hfmix.utils.randomness import numpy_generator

BASES: dict[str, type[PairPolicy]] = {"mixup": Mixup, "cutmix": CutMix}


@dataclass(frozen=True)
class RegMixup(Policy):
    """RegMixup (Pinto et al. 2022, arXiv 2206.14502): mixup as a regulariser beside the clean loss.

    The 2N rows (clean, then mixed) go through one forward pass, so that BatchNorm sees both together.

    Attributes:
        alpha: α > 0 of λ ~ Beta(α, α), or a `Schedule`; 20 (the default) on CIFAR-10, 10 on CIFAR-100 in the
            paper.
        eta: η > 0, the weight of the mixed loss relative to the clean loss.
        reduction: "mean" gives (CE_clean + η CE_mixed) / (1 + η), the official code's loss for η = 1; "sum" gives
            CE_clean + η CE_mixed, the paper's equation.
        base: the policy that mixes the mixed rows: "mixup", "cutmix", or a `Mixup` or `CutMix` with settings of
            its own, whose `alpha` is then this policy's too.
        ratio: in (0, 1]: the share of the batch that is mixed beside the clean rows. Its loss is weighted up so
            that η keeps its meaning; a step costs 1 + ratio times ERM's: twice as much at the paper's ratio of 1.
            At least one row is mixed. With η = ratio all rows weigh the same, and the mixed ones have a smaller
            share of the loss.
    """

    alpha: Strength | None = None
    eta: float = 1.0
    reduction: str = "mean"
    base: PairPolicy | type[PairPolicy] | str = "mixup"
    ratio: float = 1.0

    name: ClassVar[str] = "regmixup"

    def __post_init__(self) -> None:
        if self.alpha is not None:
            self._check_strength("alpha")
        self._set("base", self._resolved_base())
        self._set("alpha", self.base.alpha)
        self._check_number("eta")
        self._check_choice("reduction", ("mean", "sum"))
        self._check_number("ratio", high=1.0)

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Draws N clean rows, then the mixed ones."""
        n, mixed = batch.size, self.base.draw(batch, generator)
        count = max(1, round(self.ratio * n))
        if count < n:
            mixed = _select_rows(
                mixed, torch.from_numpy(numpy_generator(generator).permutation(n)[:count]).sort()[0]
            )
        scale = 1.0 if self.reduction == "sum" else 1.0 / (1.0 + self.eta)
        weight = torch.cat([torch.tensor([[1.0, 0.0]]).expand(n, -1), mixed.weight])
        return replace(
            mixed,
            source=torch.cat([torch.arange(n).unsqueeze(1).expand(-1, 2), mixed.source]),
            weight=weight,
            label_weight=torch.cat([weight[:n], mixed.label_weight]),
            row_weight=torch.tensor([scale] * n + [scale * self.eta * n / count] * count),
            box=None if mixed.box is None else F.pad(mixed.box, (0, 0, n, 0)),
        )

    def _resolved_base(self) -> PairPolicy:
        base = BASES.get(self.base, self.base) if isinstance(self.base, str) else self.base
        if base in BASES.values():
            return base(alpha=20.0 if self.alpha is None else self.alpha)
        if type(base) not in BASES.values():
            raise ValueError(f"{self.name}: base is {' or '.join(BASES)}, or such a policy, not {self.base!r}")
        if self.alpha not in (None, base.alpha):
            raise ValueError(
                f"{self.name}: alpha is {self.alpha}, that of its base {base.alpha}: give one of them"
            )
        return base


@dataclass(frozen=True)
class OneOf(Policy):
    """A random choice among policies, for each batch or example, as timm switches between mixup and CutMix.

    With weights that follow a `Schedule` it also turns a policy on or off during training: ``OneOf([RegMixup(),
    ERM()], [Schedule.switch_off(1.0, 0.9), Schedule.switch_on(1.0, 0.9)])``.

    Attributes:
        policies: the policies to choose from, at least one.
        weights: one number or schedule a policy, at least 0, proportional to its probability. None: all equal.
        granularity: what shares one choice: the "batch"; each "example" has its own, for policies that keep the
            number of rows and mix the input; or a "pair" of rows that are each other's partner, for such policies
            with the pairing "reversal".
    """

    policies: tuple[Policy, ...]
    weights: tuple[Strength, ...] | None = None
    granularity: str = "batch"

    name: ClassVar[str] = "one_of"

    def __post_init__(self) -> None:
        policies = self.policies
        if not isinstance(policies, Sequence) or not policies or not all(isinstance(p, Policy) for p in policies):
            raise ValueError(f"{self.name}: policies are a list of policies, at least one, not {policies!r}")
        self._set("policies", tuple(policies))
        if self.weights is not None:
            self._check_weights()
        self._check_choice("granularity", GRANULARITIES)
        if self.granularity != "batch":
            self._check_mergeable()

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Draws one policy's plan, or a plan whose rows come from several policies."""
        weights = [at_progress(w, batch.progress) for w in self.weights or [1.0] * len(self.policies)]
        total = sum(weights)
        if total == 0:
            raise ValueError(f"{self.name}: all weights are 0 at progress {batch.progress}")
        share = np.asarray(weights) / total
        rng = numpy_generator(generator)
        if self.granularity == "batch":
            return self.policies[rng.choice(len(share), p=share)].draw(batch, generator)
        which = rng.choice(len(share), size=batch.size, p=share)[shared_draws(self.granularity, batch.size)]
        which = torch.from_numpy(which)
        return _merge_rows([policy.draw(batch, generator) for policy in self.policies], which)

    def _check_weights(self) -> None:
        if isinstance(self.weights, str) or not isinstance(self.weights, Sequence):
            raise ValueError(f"{self.name}: weights are a list of numbers or schedules, not {self.weights!r}")
        self._set("weights", tuple(strength(weight) for weight in self.weights))
        if len(self.weights) != len(self.policies):
            raise ValueError(f"{self.name}: {len(self.policies)} policies have {len(self.weights)} weights")
        for weight in self.weights:
            if not isinstance(weight, Schedule) and not (is_number(weight) and weight >= 0):
                raise ValueError(f"{self.name}: weights are finite numbers, at least 0, not {weight!r}")
        if not any(isinstance(weight, Schedule) or weight > 0 for weight in self.weights):
            raise ValueError(f"{self.name}: one of the weights is above 0, not {list(self.weights)}")

    def _check_mergeable(self) -> None:
        for policy in self.policies:
            if not isinstance(policy, ERM | PairPolicy | DirichletMixup) or isinstance(policy, ManifoldMixup):
                raise ValueError(
                    f"{self.name}: {policy.name} cannot be drawn for single examples, only for batches"
                )
            pairing = "reversal" if isinstance(policy, ERM) else getattr(policy, "pairing", None)
            if self.granularity == "pair" and pairing != "reversal":
                raise ValueError(
                    f"{self.name}: granularity 'pair' goes with policies of pairing 'reversal', not {policy}"
                )
        cuts = {
            (policy.name, getattr(policy, "axis", None))
            for policy in self.policies
            if isinstance(policy, CutMix | ResizeMix | TimeCutMix)
        }
        if len(cuts) > 1:
            names = " and ".join(sorted(name if axis is None else f"{name} of axis {axis}" for name, axis in cuts))
            raise ValueError(f"{self.name}: {names} cut differently and cannot share a batch, only take turns")


def _select_rows(plan: MixPlan, rows: Tensor) -> MixPlan:
    """Returns the plan of these output rows alone."""
    return replace(
        plan,
        source=plan.source[rows],
        weight=plan.weight[rows],
        label_weight=plan.label_weight[rows],
        row_weight=plan.row_weight[rows],
        box=None if plan.box is None else plan.box[rows],
    )


def _merge_rows(plans: Sequence[MixPlan], which: Tensor) -> MixPlan:
    """Returns the plan whose row r is row r of plan ``which[r]``; all have N rows and at most one kind of box."""
    rows, k = torch.arange(len(which)), max(plan.source.shape[1] for plan in plans)
    cutting = next((plan for plan in plans if plan.box is not None), plans[0])

    def pick(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[which, rows]

    def padded(weight: Tensor) -> Tensor:
        return F.pad(weight, (0, k - weight.shape[1]))

    own = rows.unsqueeze(1)
    no_box = None if cutting.box is None else torch.zeros_like(cutting.box)
    return replace(
        cutting,
        source=pick([torch.cat([p.source, own.expand(-1, k - p.source.shape[1])], dim=1) for p in plans]),
        weight=pick([padded(plan.weight) for plan in plans]),
        label_weight=pick([padded(plan.label_weight) for plan in plans]),
        row_weight=pick([plan.row_weight for plan in plans]),
        box=None if no_box is None else pick([no_box if p.box is None else p.box for p in plans]),
    )
