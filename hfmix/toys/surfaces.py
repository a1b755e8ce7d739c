"""Predictions of ERM, mixup and RegMixup on the plane between two classes.

mixup's figure 1b (arXiv 1710.09412) shows p(y = 1 | x), RegMixup (arXiv 2206.14502) the entropy of the prediction.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hfmix.losses import mixed_cross_entropy
from hfmix.mixing import ERM, Mixup, Policy, RegMixup, keyed_generator
from hfmix.toys.nets import perceptron

LIMIT = 3.0  # the plane shown: [-3, 3] standard deviations of the data in each direction
MIN_EXAMPLES = 4
_SIDE = 121  # points of the grid along each side


@dataclass(frozen=True)
class Settings:
    """Settings of the training: Adam on `steps` batches drawn with replacement."""

    data: str = "moons"
    examples: int = 300
    noise: float | None = None  # None: the data set's own
    alpha: float = 1.0  # mixup's α
    regmixup_alpha: float = 20.0
    steps: int = 1000
    batch_size: int = 128
    hidden: int = 64  # units in each of the two hidden layers
    lr: float = 0.01

    def policies(self) -> dict[str, Policy]:
        """Returns the methods to compare, by their names in the figure."""
        return {"ERM": ERM(), "mixup": Mixup(self.alpha), "RegMixup": RegMixup(self.regmixup_alpha)}


@dataclass(frozen=True)
class Surface:
    """One trained net on the plane.

    Attributes:
        p: (side, side), p(y = 1 | x), rows from the bottom (y) and columns from the left (x).
        entropy: (side, side), entropy of the prediction in bits: 1 where both classes are equally likely.
        figures: the results of `measure`.
    """

    p: np.ndarray
    entropy: np.ndarray
    figures: dict[str, float]


def surfaces(
    settings: Settings, seed: int, on_step: Callable[[], object] = lambda: None
) -> tuple[Tensor, Tensor, dict[str, Surface]]:
    """Draws the data and trains each method on it, from the same weights and the same batches.

    Returns:
        The points (N, 2), standardised, their classes (N,), and each method's surface.
    """
    x, y = draw_data(settings, seed)
    by_method = {}
    for name, policy in settings.policies().items():
        net = train(policy, x, y, settings, seed, on_step)
        by_method[name] = surface(net, x, y)
    return x, y, by_method


def draw_data(settings: Settings, seed: int) -> tuple[Tensor, Tensor]:
    """Draws points (N, 2), standardised along each axis, and their classes (N,).

    Raises:
        ValueError: an unknown data set, or fewer examples than MIN_EXAMPLES.
    """
    if settings.data not in DATA:
        raise ValueError(f"data is one of {', '.join(DATA)}, not {settings.data!r}")
    if settings.examples < MIN_EXAMPLES:
        raise ValueError(f"examples is at least {MIN_EXAMPLES}, not {settings.examples}")
    draw, noise = DATA[settings.data]
    x, y = draw(settings.examples, noise if settings.noise is None else settings.noise, seed)
    return torch.from_numpy((x - x.mean(0)) / x.std(0)).float(), torch.from_numpy(y)


def train(
    policy: Policy, x: Tensor, y: Tensor, settings: Settings, seed: int, on_step: Callable[[], object]
) -> nn.Module:
    """Trains a perceptron with two hidden layers on batches that `policy` mixes."""
    net = perceptron((2, settings.hidden, settings.hidden, 2), keyed_generator(seed))
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.lr)
    for step in range(settings.steps):
        generator = keyed_generator(seed, step)
        rows = torch.randint(len(x), (settings.batch_size,), generator=generator)
        plan = policy.sample(settings.batch_size, x.shape[1:], generator)
        loss = mixed_cross_entropy(net(plan.apply(x[rows])), plan.targets(y[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step()
    return net


def surface(net: nn.Module, x: Tensor, y: Tensor) -> Surface:
    """Evaluates the net on the plane and on the training points `x` with classes `y`."""
    axis = torch.linspace(-LIMIT, LIMIT, _SIDE)
    plane = torch.cartesian_prod(axis, axis).flip(1)  # rows from the bottom
    with torch.no_grad():
        logits, on_data = net(plane), net(x)
    p = logits.softmax(1)[:, 1].reshape(_SIDE, _SIDE)
    entropy = predictive_entropy(logits)
    return Surface(p.numpy(), entropy.reshape(_SIDE, _SIDE).numpy(), measure(plane, p, entropy, x, y, on_data))


def predictive_entropy(logits: Tensor) -> Tensor:
    """Computes the (N,) entropies of (N, C) logits' predictions, in bits."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1) / math.log(2)


def measure(plane: Tensor, p: Tensor, entropy: Tensor, x: Tensor, y: Tensor, on_data: Tensor) -> dict[str, float]:
    """Averages over the data, and over parts of the plane that the data alone define.

    The gap is where the nearest examples of the two classes are equally far, within 0.1, and no further than 0.8;
    far means further than 1 from any example; both in standard deviations of the data. An empty part gives NaN.
    """
    to_class = [torch.cdist(plane, x[y == c]).amin(1) for c in (0, 1)]
    nearest = torch.minimum(*to_class)
    gap = ((to_class[0] - to_class[1]).abs() < 0.1) & (nearest < 0.8)
    slope = torch.stack(torch.gradient(p, spacing=2 * LIMIT / (_SIDE - 1))).norm(dim=0)
    return {
        "accuracy": float((on_data.argmax(1) == y).float().mean()),
        "entropy_data": float(predictive_entropy(on_data).mean()),
        "entropy_gap": float(entropy[gap].mean()),
        "entropy_far": float(entropy[nearest > 1.0].mean()),
        "slope_mean": float(slope.mean()),
        "slope_max": float(slope.max()),
    }


def _moons(examples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_moons

    return make_moons(examples, noise=noise, random_state=seed)


def _circles(examples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_circles

    return make_circles(examples, noise=noise, factor=0.4, random_state=seed)


def _blobs(examples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_blobs

    return make_blobs(examples, centers=[[-1.0, -1.0], [1.0, 1.0]], cluster_std=noise, random_state=seed)


# by name: a function of number of examples, noise and seed, and the default noise
DATA: Mapping[str, tuple[Callable[[int, float, int], tuple[np.ndarray, np.ndarray]], float]] = {
    "moons": (_moons, 0.1),
    "circles": (_circles, 0.06),
    "blobs": (_blobs, 0.35),
}
