"""Policies that mix whole rows: mixup, and variants in the labels, the layer or the number of sources."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hfmix.mixing.plan import MixPlan
from hfmix.mixing.policies.base import Batch, Policy
from hfmix.mixing.policies.pairing import PAIRINGS, draw_partners
from hfmix.mixing.schedule import Strength, at_progress
from hfmix.utils.randomness import numpy_generator

GRANULARITIES = ("batch", "example", "pair")


@dataclass(frozen=True)
class PairPolicy(Policy):
    """A policy that mixes each row with one partner: `draw` chooses λ and the partners, `plan` says how to mix.

    Attributes:
        alpha: α > 0 of λ ~ Beta(α, α), or a `Schedule` of it.
        p: the probability that a batch (or example, by `granularity`) is mixed at all, or a `Schedule` of it.
        granularity: what shares one λ: the "batch", as in the papers' code; each "example" has its own; or a
            "pair" of rows that are each other's partner, with the pairing "reversal".
        pairing: how partners are chosen: a name in `hfmix.mixing.policies.pairing.PAIRINGS`.
    """

    alpha: Strength = 1.0
    p: Strength = 1.0
    granularity: str = "batch"
    pairing: str = "random"

    def __post_init__(self) -> None:
        self._check_strength("alpha")
        self._check_probability("p")
        self._check_choice("granularity", GRANULARITIES)
        self._check_choice("pairing", PAIRINGS)
        if self.granularity == "pair" and self.pairing != "reversal":
            raise ValueError(f"{self.name}: granularity 'pair' goes with pairing 'reversal', not {self.pairing!r}")

    @property
    def needs_inputs(self) -> bool:
        """Tells whether partners are chosen by distance."""
        return self.pairing.startswith("nearest")

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Draws λ in float64, then which rows are mixed, then their partners, then the rest of the method."""
        rng, n = numpy_generator(generator), batch.size
        own, row_draw = np.arange(n), shared_draws(self.granularity, n)
        count = 1 if self.granularity == "batch" else n
        alpha = at_progress(self.alpha, batch.progress)
        lam = draw_lambda(rng, alpha, count)
        mixed = draw_events(rng, at_progress(self.p, batch.progress), count) & (alpha > 0)
        partner = draw_partners(self.pairing, batch, rng)
        return self.plan(np.where(mixed, lam, 1.0), row_draw, np.where(mixed[row_draw], partner, own), batch, rng)

    @abstractmethod
    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns the plan of N rows.

        Args:
            lam: (draws,) float64, the shares drawn; 1 for rows that are not mixed.
            row_draw: (N,) int64, the index of each row's draw in `lam`.
            partner: (N,) int64; the row itself where it is not mixed.
        """


@dataclass(frozen=True)
class Mixup(PairPolicy):
    """mixup (Zhang et al. 2018, arXiv 1710.09412): λx_i + (1−λ)x_j, and labels likewise.

    By default one λ ~ Beta(α, α) a batch, and partners by a random permutation, as in the official code. The paper
    uses α = 1 on CIFAR and 0.1 to 0.4 on ImageNet.
    """

    name: ClassVar[str] = "mixup"

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N mixed rows."""
        return pair_plan(lam[row_draw], partner)


@dataclass(frozen=True)
class InputMixup(PairPolicy):
    """mixup of the inputs alone (an ablation in arXiv 1710.09412): each row keeps its own label.

    The row's own share is max(λ, 1−λ), so that the label belongs to the example that dominates the input.
    """

    name: ClassVar[str] = "input_mixup"

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N mixed rows with the labels of their first sources."""
        own = np.maximum(lam, 1.0 - lam)[row_draw]
        return pair_plan(own, partner, label_lam=np.ones_like(own))


@dataclass(frozen=True)
class ManifoldMixup(PairPolicy):
    """Manifold mixup (Verma et al. 2019, arXiv 1806.05236): mixup of the output of a randomly drawn layer.

    The plan's `layer` names it; `hfmix.mixing.mixing_at` applies the plan there, and `MixTrainer` does so.

    Attributes:
        layers: names as in ``model.named_modules()``, one drawn uniformly for each batch; "input" stands for the
            input, plain mixup. `hfmix.mixing.layer_names` suggests some for a model. The paper draws from the
            input and the first blocks.
    """

    layers: tuple[str, ...] = ("input",)

    name: ClassVar[str] = "manifold_mixup"

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = (self.layers,) if isinstance(self.layers, str) else self.layers
        if not isinstance(layers, Sequence) or not layers or not all(isinstance(x, str) and x for x in layers):
            raise ValueError(f"{self.name}: layers are names of modules, at least one, not {self.layers!r}")
        self._set("layers", tuple(layers))

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N mixed rows and the layer at which to mix them."""
        layer = self.layers[rng.integers(len(self.layers))]
        return pair_plan(lam[row_draw], partner, layer=None if layer == "input" else layer)


@dataclass(frozen=True)
class DirichletMixup(Policy):
    """mixup of k examples, with weights from a symmetric Dirichlet distribution.

    For k = 2 it is mixup, since Beta(α, α) is the Dirichlet distribution of two weights.

    Attributes:
        k: the number of examples mixed, at least 2: the row and k − 1 others, each from a random permutation.
        alpha: α > 0, the concentration of each weight, or a `Schedule` of it.
        p: the probability that a batch (or an example) is mixed at all, or a `Schedule` of it.
        granularity: what shares the weights: the "batch", or each "example" has its own.
    """

    k: int = 3
    alpha: Strength = 1.0
    p: Strength = 1.0
    granularity: str = "batch"

    name: ClassVar[str] = "dirichlet_mixup"

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 2:
            raise ValueError(f"{self.name}: k is an integer of at least 2, not {self.k!r}")
        self._check_strength("alpha")
        self._check_probability("p")
        self._check_choice("granularity", GRANULARITIES[:2])

    def draw(self, batch: Batch, generator: torch.Generator | None) -> MixPlan:
        """Draws N rows of k sources."""
        rng, n = numpy_generator(generator), batch.size
        draws = 1 if self.granularity == "batch" else n
        alpha = at_progress(self.alpha, batch.progress)
        alone = np.eye(1, self.k)
        share = rng.dirichlet(np.full(self.k, alpha), size=draws) if alpha > 0 else alone
        mixed = draw_events(rng, at_progress(self.p, batch.progress), draws)
        own = np.arange(n)
        source = np.stack([own, *(rng.permutation(n) for _ in range(self.k - 1))], axis=1)
        source = np.where(np.broadcast_to(mixed, n)[:, None], source, own[:, None])
        weight = to_weights(np.broadcast_to(np.where(mixed[:, None], share, alone), (n, self.k)))
        return MixPlan(torch.from_numpy(source), weight, weight, torch.ones(n), n)


def pair_plan(
    lam: np.ndarray,
    partner: np.ndarray,
    *,
    label_lam: np.ndarray | None = None,
    layer: str | None = None,
) -> MixPlan:
    """Returns the plan with rows ``lam[r] * x[r] + (1 - lam[r]) * x[partner[r]]``, both drawn elsewhere.

    Args:
        lam: (N,) float64, weight of the row itself.
        partner: (N,) int64.
        label_lam: (N,) weight of the row's own label, by default `lam`.
        layer: see `MixPlan`.
    """
    n = len(lam)
    weight = to_weights(np.stack([lam, 1.0 - lam], axis=1))
    label_weight = weight if label_lam is None else to_weights(np.stack([label_lam, 1.0 - label_lam], axis=1))
    return MixPlan(pair_source(partner), weight, label_weight, torch.ones(n), n, layer=layer)


def shared_draws(granularity: str, n: int) -> np.ndarray:
    """Returns the index of each row's draw, (N,) int64.

    A batch has one draw, each example its own, and a pair (a row and its mirror image in the batch) one draw.
    """
    own = np.arange(n)
    return {"batch": np.zeros_like(own), "example": own, "pair": np.minimum(own, own[::-1])}[granularity]


def pair_source(partner: np.ndarray) -> Tensor:
    """Returns each row and its partner, (N, 2) int64."""
    return torch.from_numpy(np.stack([np.arange(len(partner)), partner], axis=1).astype(np.int64))


def draw_lambda(rng: np.random.Generator, alpha: float, count: int) -> np.ndarray:
    """Draws (count,) float64 λ ~ Beta(α, α); all 1, which mixes nothing, for the α = 0 of a schedule."""
    return rng.beta(alpha, alpha, size=count) if alpha > 0 else np.ones(count)


def draw_events(rng: np.random.Generator, p: float, count: int) -> np.ndarray:
    """Draws (count,) booleans, each true with probability `p`; for p = 1 nothing is drawn."""
    return rng.random(count) < p if p < 1.0 else np.ones(count, dtype=bool)


def to_weights(values: np.ndarray) -> Tensor:
    """Converts float64 weights to the float32 of a plan."""
    return torch.from_numpy(values.astype(np.float32))
