"""AutoAttack in its standard version (Croce & Hein 2020, arXiv 2003.01690).

Four attacks, each on the examples that withstood those before it: APGD on the cross-entropy, targeted APGD on the
difference of logits ratio (DLR), targeted FAB (arXiv 1907.02044) and Square (arXiv 1912.00049), which needs no
gradient. The attacks come from `pyautoattack`, the authors' own code as a package (``hfmix[autoattack]``); their
budgets, set here, are those of RobustBench's leaderboards.
"""

import logging
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hfmix.robustness.attacks.checks import check_batch, check_settings
from hfmix.robustness.attacks.gradient import loss_gradient
from hfmix.utils.model_calls import input_gradients, logits_of

logger = logging.getLogger(__name__)

ITERATIONS = 100  # of APGD and of FAB, each towards every target
RHO = 0.75  # APGD halves its step if less than this share of the last steps helped
MAX_TARGETS = 9
QUERIES = 5_000  # of Square
_NORMS = {"linf": "Linf", "l2": "L2"}
# targeted DLR compares the first, third and fourth largest logits
_CLASSES_FOR_DLR = 4

Attack = Callable[[Tensor, Tensor], Tensor]


def autoattack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float = 8 / 255,
    norm: Literal["linf", "l2"] = "linf",
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 250,
) -> Tensor:
    """Attacks images with standard AutoAttack.

    All random draws follow from `seed`, the batch and its order; torch's own generators stay as they are. The
    attacks see the survivors together, so that the draws for an example depend on its neighbours: compare two
    models on the same batches. The ball's edge is rounded to float32. With few classes the attack is not the
    standard one: see `describe`.

    A call cannot be interrupted and resumed. `forward_passes` bounds its cost; `Runner.rows` saves results after
    every sixteen batches, so choose a batch size with which sixteen batches take minutes, not hours.

    Args:
        model: gives logits, or an output with `.logits`, for `x`; in evaluation mode while it is attacked.
        x: images within `bounds`, (B, C, H, W).
        y: class indices, (B,).
        eps: radius of the ball, in the units of `x`; 0 leaves `x` as it is.
        norm: "linf" or "l2".
        seed: seed of APGD's starts and Square's draws.
        bounds: smallest and largest value of an input.
        batch_size: examples per forward pass; the standard's is 250.

    Returns:
        (B, C, H, W): the adversarial input where an attack changed the prediction, elsewhere `x`.

    Raises:
        TypeError: inputs that are not floating point, or labels that are not integers.
        ValueError: as for `hfmix.robustness.attacks.pgd`, and inputs that are not images.
        RuntimeError: `pyautoattack` is not installed.
    """
    return _attacked(model, x, y, eps, norm, seed, bounds, batch_size)[0]


def robust_under_autoattack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float = 8 / 255,
    norm: Literal["linf", "l2"] = "linf",
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 250,
) -> Tensor:
    """Tells which predictions are right and stay right under `autoattack`, (B,); same arguments."""
    return _attacked(model, x, y, eps, norm, seed, bounds, batch_size)[1]


def is_standard(num_classes: int) -> bool:
    """Returns whether the standard attack is defined for this number of classes: targeted DLR needs four."""
    return num_classes >= _CLASSES_FOR_DLR


def describe(num_classes: int, norm: Literal["linf", "l2"] = "linf") -> dict[str, Any]:
    """Describes the attack for a report, as plain JSON: components with budgets, and whether it is the standard.

    With two or three classes targeted APGD runs on the target's cross-entropy, with as many iterations, and
    ``why_not_standard`` says so.
    """
    targets = _num_targets(num_classes)
    apgd = {"iterations": ITERATIONS, "restarts": 1, "rho": RHO}
    loss = "targeted DLR" if is_standard(num_classes) else "targeted cross-entropy"
    description = {
        "norm": norm,
        "standard": is_standard(num_classes),
        "components": [
            {"name": "apgd-ce", "loss": "cross-entropy", **apgd},
            {"name": "apgd-t", "loss": loss, **apgd, "targets": targets},
            {"name": "fab-t", "iterations": ITERATIONS, "restarts": 1, "targets": targets},
            {"name": "square", "loss": "margin", "queries": QUERIES, "restarts": 1},
        ],
        "forward_passes_at_most": forward_passes(num_classes),
        "library": f"pyautoattack {_library_version()}",
    }
    if not is_standard(num_classes):
        description["why_not_standard"] = (
            f"the targeted DLR loss needs {_CLASSES_FOR_DLR} classes, there are {num_classes}: "
            "targeted cross-entropy takes its place"
        )
    return description


def check_installed() -> None:
    """Raises a RuntimeError if `pyautoattack` is not installed."""
    if find_spec("pyautoattack") is None:
        raise RuntimeError("AutoAttack needs another package: `pip install pyautoattack`")


def forward_passes(num_classes: int) -> int:
    """Counts the forward passes for an example that survives all attacks; a backward pass counts as two.

    With ten classes or more they are some 11,700; examples that fall early cost less. A thousand survivors at a
    thousand forward passes a second take three and a quarter hours.
    """
    targets, prediction = _num_targets(num_classes), 1
    apgd = 3 * (ITERATIONS + 1)  # the start has a gradient too
    fab = ITERATIONS * (3 + prediction) + 3 * prediction
    attacks = (
        prediction + apgd,
        prediction + targets * (prediction + apgd),
        prediction + targets * fab,
        prediction + 1 + QUERIES + prediction,
    )
    return prediction + sum(cost + prediction for cost in attacks)


def _attacked(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: str,
    seed: int,
    bounds: tuple[float, float],
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Returns the adversarial inputs, (B, C, H, W), and which examples withstood the attacks, (B,)."""
    check_batch(x, y, bounds)
    check_settings(x, eps, 0.0, 1, norm, bounds)
    _check_images(x, norm)
    low, high = bounds

    def logits(unit: Tensor) -> Tensor:
        """Returns the logits of inputs in [0, 1], the range that the library works in."""
        return logits_of(model((low + (high - low) * unit).to(x.dtype))).float()

    def predicted(unit: Tensor) -> Tensor:
        return logits(unit).argmax(1)

    # the library seeds torch's generators, also on all GPUs; it enables gradients where it needs them
    gpus = range(torch.cuda.device_count()) if x.is_cuda else ()
    with input_gradients(model), torch.no_grad(), torch.random.fork_rng(gpus):
        adversarial, labels = x.detach().clone(), y.to(x.device, torch.int64, copy=True)
        unit = ((adversarial - low) / (high - low)).float()
        num_classes = _num_classes(logits, unit, labels)
        robust = torch.cat([predicted(part) for part in unit.split(batch_size)]) == labels
        for attack in _attacks(logits, num_classes, norm, eps / (high - low), seed) if eps else ():
            for rows in _batches(robust, batch_size):
                perturbed = attack(unit[rows], labels[rows])
                broken = predicted(perturbed) != labels[rows]
                adversarial[rows[broken]] = (low + (high - low) * perturbed[broken]).to(x.dtype)
                robust[rows[broken]] = False
    return adversarial, robust


def _batches(robust: Tensor, size: int) -> Sequence[Tensor]:
    """Splits the survivors' indices into batches."""
    survivors = robust.nonzero().flatten()
    return survivors.split(size) if len(survivors) else ()


def _attacks(
    logits: Callable[[Tensor], Tensor], num_classes: int, norm: str, eps: float, seed: int
) -> list[Attack]:
    """Returns the four attacks in the standard's order and with its budgets."""
    check_installed()
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    class TargetedCrossEntropy(APGDAttack_targeted):
        """Targeted APGD on the cross-entropy: a loss that the library has but does not let one choose."""

        def dlr_loss_targeted(self, logits: Tensor, y: Tensor) -> Tensor:
            return self.ce_loss_targeted(logits, y)

    ball = {"norm": _NORMS[norm], "eps": eps, "seed": seed, "n_restarts": 1}
    apgd = {**ball, "n_iter": ITERATIONS, "rho": RHO, "eot_iter": 1, "logger": logger}
    targets = {"n_target_classes": _num_targets(num_classes)}
    targeted = APGDAttack_targeted if is_standard(num_classes) else TargetedCrossEntropy
    fab = {"n_iter": ITERATIONS, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9, "targeted": True}
    square = {"n_queries": QUERIES, "p_init": 0.8, "loss": "margin", "resc_schedule": False}
    return [
        APGDAttack(logits, loss="ce", **apgd).perturb,
        targeted(logits, **apgd, **targets).perturb,
        FABAttack_PT(logits, **ball, **fab, **targets).perturb,
        SquareAttack(logits, **ball, **square).perturb,
    ]


def _num_targets(num_classes: int) -> int:
    if num_classes < 2:
        raise ValueError(f"a model with {num_classes} class cannot be attacked: AutoAttack needs 2 or more")
    return min(MAX_TARGETS, num_classes - 1)


def _library_version() -> str:
    try:
        return metadata.version("pyautoattack")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _check_images(x: Tensor, norm: str) -> None:
    if x.ndim != 4:
        raise ValueError(f"inputs of shape {tuple(x.shape)}: AutoAttack takes only images (B, C, H, W)")
    height, width = x.shape[2:]
    if norm == "l2" and not 5 <= height == width:
        raise ValueError(
            f"images of {height} × {width}: Square within an L2 ball needs square ones, 5 × 5 pixels or more"
        )


def _num_classes(logits: Callable[[Tensor], Tensor], unit: Tensor, labels: Tensor) -> int:
    """Counts the model's classes, and checks its logits and gradient at the smallest and largest label."""
    probe = torch.stack([labels.argmin(), labels.argmax()])
    with torch.enable_grad():
        loss_gradient(logits, unit[probe], labels[probe], check=True)
    return logits(unit[:1]).shape[1]
