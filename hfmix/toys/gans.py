"""mixup's toy GANs (arXiv 1710.09412, the section on GANs), which show whether the generator stays with the data.

The defaults are those of the paper's official code (github.com/hongyi-zhang/mixup, gan/example_gan.py), except for
narrower nets and fewer iterations, which take a CPU a minute instead of an hour: perceptrons with three hidden
layers (512 units there), two-dimensional noise, Adam with its defaults, 128 examples a batch, five steps of the
discriminator to one of the generator, 20,000 iterations there, and the generator's loss of the minimax game.
The official code mixes within batches of real and generated examples, with weights uniform in [0, α]; here a real
and a generated example are mixed, as in the paper's equation, with λ ~ Beta(α, α).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix.losses.gan import mixup_discriminator_loss
from hfmix.mixing import keyed_generator
from hfmix.toys.nets import perceptron

METHODS = ("ERM", "mixup")
GENERATOR_LOSSES = ("minimax", "non-saturating")
_SAMPLES = 800  # number of samples generated for the figure and its numbers


@dataclass(frozen=True)
class Settings:
    """Settings of the training."""

    alpha: float = 0.2
    noise: float = 0.01  # standard deviation of the data around their modes or curve, which lie in [-1, 1]
    steps: int = 1000  # steps of the generator
    discriminator_steps: int = 5  # for each step of the generator
    batch_size: int = 128
    hidden: int = 128  # units in each of the three hidden layers, of both nets
    latent: int = 2
    lr: float = 0.001
    generator_loss: str = "minimax"  # or "non-saturating", Goodfellow's alternative and the usual choice


@dataclass(frozen=True)
class Snapshot:
    """A generator's samples after some of its steps.

    Attributes:
        step: number of steps done, from 1.
        samples: (800, 2), generated from the same noise at each step.
        figures: the samples' `measure`.
    """

    step: int
    samples: Tensor
    figures: dict[str, float]


def train(
    method: str,
    data: str,
    settings: Settings,
    seed: int,
    snapshots: list[int] | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> list[Snapshot]:
    """Trains a GAN; both methods begin with the same weights.

    Args:
        method: one of `METHODS`, which names the discriminator's loss.
        data: one of `SUPPORTS`.
        settings: settings of the training.
        seed: seed of weights, data and noise.
        snapshots: steps of the generator after which to take a snapshot; None: `default_snapshots`.
        on_step: called after each step of the generator.

    Raises:
        ValueError: an unknown name.
    """
    for name, value, known in (
        ("method", method, METHODS),
        ("data", data, tuple(SUPPORTS)),
        ("generator_loss", settings.generator_loss, GENERATOR_LOSSES),
    ):
        if value not in known:
            raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
    hidden = (settings.hidden,) * 3
    random = keyed_generator(seed)
    d, g = perceptron((2, *hidden, 1), random), perceptron((settings.latent, *hidden, 2), random)
    optimizers = [torch.optim.Adam(net.parameters(), lr=settings.lr, fused=True) for net in (d, g)]
    support, fixed_noise = SUPPORTS[data](), torch.randn(_SAMPLES, settings.latent, generator=random)
    wanted, taken = set(snapshots or default_snapshots(settings.steps)), []
    for step in range(1, settings.steps + 1):
        for _ in range(settings.discriminator_steps):
            real = draw_real(support, settings.noise, settings.batch_size, random)
            generated = _generate(g, settings, random).detach()
            _update(optimizers[0], discriminator_loss(method, d, real, generated, settings.alpha, random))
        _update(optimizers[1], generator_loss(d(_generate(g, settings, random)), settings.generator_loss))
        if step in wanted:
            with torch.no_grad():
                samples = g(fixed_noise)
            taken.append(Snapshot(step, samples, measure(samples, data, settings.noise)))
        on_step()
    return taken


def discriminator_loss(
    method: str, d: nn.Module, real: Tensor, generated: Tensor, alpha: float, random: torch.Generator
) -> Tensor:
    """Computes the ordinary loss of a GAN's discriminator, halved (ERM), or mixup's."""
    if method == "mixup":
        return mixup_discriminator_loss(d, real, generated, alpha, generator=random)
    logits = d(torch.cat([real, generated]))
    return F.binary_cross_entropy_with_logits(
        logits, torch.cat([torch.ones(len(real), 1), torch.zeros(len(generated), 1)])
    )


def generator_loss(logits: Tensor, kind: str) -> Tensor:
    """Computes E log(1 − d(g(z))) of the minimax game, or −E log d(g(z)), from the discriminator's logits."""
    return -F.softplus(logits).mean() if kind == "minimax" else F.softplus(-logits).mean()


def measure(samples: Tensor, data: str, noise: float) -> dict[str, float]:
    """Measures how far (N, 2) `samples` are from the data.

    `wasserstein` is the mean distance by which the samples have to be moved to lie evenly on the modes or the
    curve (Wasserstein-1, exact, for some thousand samples at most: time grows with their cube), and infinite if a
    sample is not finite. It is large if samples are far off or a part of the data has none. The other distances
    are those to the nearest mode, or point of the curve. `share_near` is the share of samples within three
    standard deviations of one, where 98.9 % of the data lie around their modes; `modes_covered` is the number of
    modes with such a sample. `share_in_view` is the share of samples within the figure's frame.
    """
    support = SUPPORTS[data]()
    distance, mode = torch.cdist(samples.double(), support.double()).min(1)
    near = distance < 3 * noise
    figures = {
        "wasserstein": _wasserstein(samples, support),
        "median_distance": float(distance.median()),
        "mean_distance": float(distance.mean()),
        "share_near": float(near.float().mean()),
        "share_in_view": float((samples.abs() < LIMIT).all(1).float().mean()),
    }
    if data in MIXTURES:
        figures |= {"modes_covered": float(len(mode[near].unique())), "modes": float(len(support))}
    return figures


def draw_real(support: Tensor, noise: float, count: int, random: torch.Generator) -> Tensor:
    """Draws (count, 2) examples of the data: points of `support` plus Gaussian noise."""
    chosen = torch.randint(len(support), (count,), generator=random)
    return support[chosen] + noise * torch.randn(count, 2, generator=random)


def default_snapshots(steps: int) -> list[int]:
    """Returns up to five steps, evenly on a logarithmic scale from 10 to the last one."""
    first = min(10, steps)
    return sorted({round(first * (steps / first) ** (i / 4)) for i in range(5)})


def ring() -> Tensor:
    """Returns (8, 2) modes on the unit circle."""
    angle = torch.arange(8) * (2 * math.pi / 8)
    return torch.stack([angle.sin(), angle.cos()], 1)


def grid() -> Tensor:
    """Returns (25, 2) modes, five by five, in [-1, 1]."""
    axis = torch.linspace(-1, 1, 5)
    return torch.cartesian_prod(axis, axis)


def spiral() -> Tensor:
    """Returns (2000, 2) points of a curve of one and a half turns, which the paper does not have."""
    angle = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 2000)
    return torch.stack([angle * angle.cos(), angle * angle.sin()], 1) / angle[-1]


def _wasserstein(samples: Tensor, support: Tensor) -> float:
    from scipy.optimize import linear_sum_assignment

    if not samples.isfinite().all():
        return math.inf
    evenly = support[torch.arange(len(samples)) * len(support) // len(samples)]
    cost = torch.cdist(samples.double(), evenly.double())
    return float(cost[linear_sum_assignment(cost)].mean())


LIMIT = 1.5  # half the side of the figure's frame
MIXTURES = ("ring", "grid")
SUPPORTS: dict[str, Callable[[], Tensor]] = {"ring": ring, "grid": grid, "spiral": spiral}


def _generate(g: nn.Module, settings: Settings, random: torch.Generator) -> Tensor:
    return g(torch.randn(settings.batch_size, settings.latent, generator=random))


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
