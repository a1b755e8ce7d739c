"""AutoAttack in its standard version (Croce & Hein 2020, arXiv 2003.01690).

Four attacks, each on what the ones before it left: APGD on the cross-entropy, targeted APGD on the difference of
logits ratio (DLR), targeted FAB (arXiv 1907.02044) and Square (arXiv 1912.00049), which needs no gradient. The
attacks come from `pyautoattack`, the authors' own code as a package (``hfmix[autoattack]``); their budgets, set
here, are those of RobustBench's leaderboards.
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
RHO = 0.75  # APGD halves its step where less than this share of the last steps helped
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
    """(B, C, H, W): where an attack changed the prediction, the input that did; elsewhere `x`.

    All that is random follows from `seed`, the batch and its order; torch's own generators stay as they are. The
    attacks see the survivors together, so that what they draw for an example depends on its neighbours: compare
    two models on the same batches. The ball's edge is rounded to float32. With few classes the attack is not the
    standard one: see `describe`.

    A call cannot be stopped and taken up again. `forward_passes` says how long it may take; `Runner.rows` keeps
    what is done after every sixteen batches, so choose batches of which sixteen take minutes, not hours.

    Args:
        model: logits, or an output with `.logits`, from `x`; in evaluation mode while it is attacked.
        x: (B, C, H, W) within `bounds`.
        y: (B,) class indices.
        eps: radius of the ball, in the units of `x`; 0 leaves `x` as it is.
        norm: "linf" or "l2".
        seed: of APGD's starts and Square's draws.
        bounds: the smallest and the largest value of an input.
        batch_size: examples a forward pass; 250 is the standard's.

    Raises:
        TypeError: inputs that are no floats, labels that are no integers.
        ValueError: what `hfmix.robustness.attacks.pgd` refuses, and inputs that are no images.
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
    """(B,) whether the prediction is right and stays so under `autoattack`, whose arguments these are."""
    return _attacked(model, x, y, eps, norm, seed, bounds, batch_size)[1]


def is_standard(num_classes: int) -> bool:
    """Whether the standard attack is defined for so many classes: targeted DLR needs four."""
    return num_classes >= _CLASSES_FOR_DLR


def describe(num_classes: int, norm: Literal["linf", "l2"] = "linf") -> dict[str, Any]:
    """What a report states of the attack, as plain JSON: components with budgets, and whether it is the standard.

    With two or three classes targeted APGD runs on the cross-entropy of the target, with as many iterations, and
    ``why_not_standard`` says so.
    """
    targets = _num_targets(num_classes)
    apgd = {"iterations": ITERATIONS, "restarts": 1, "rho": RHO}
    loss = "targeted DLR" if is_standard(num_classes) else "targeted cross-entropy"
    found = {
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
        found["why_not_standard"] = (
            f"the targeted DLR loss needs {_CLASSES_FOR_DLR} classes, there are {num_classes}: "
            "targeted cross-entropy takes its place"
        )
    return found


def check_installed() -> None:
    """Raises a RuntimeError where the library that the attack is made of is missing."""
    if find_spec("pyautoattack") is None:
        raise RuntimeError("AutoAttack needs another package: `pip install pyautoattack`")


def forward_passes(num_classes: int) -> int:
    """What an example that survives everything costs, in forward passes; a backward pass counts as two.

    With ten classes or more it is some 11,700 times a prediction; what falls early costs less. A thousand
    survivors at a thousand forward passes a second take three and a quarter hours.
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
    """The adversarial input, and who withstood it."""
    check_batch(x, y, bounds)
    check_settings(x, eps, 0.0, 1, norm, bounds)
    _check_images(x, norm)
    low, high = bounds

    def logits(unit: Tensor) -> Tensor:
        """Of an input in [0, 1], which is what the library takes."""
        return logits_of(model((low + (high - low) * unit).to(x.dtype))).float()

    def predicted(unit: Tensor) -> Tensor:
        return logits(unit).argmax(1)

    # the library seeds torch's generators, those of all GPUs among them; it asks for gradients where it needs them
    gpus = range(torch.cuda.device_count()) if x.is_cuda else ()
    with input_gradients(model), torch.no_grad(), torch.random.fork_rng(gpus):
        adversarial, labels = x.detach().clone(), y.to(x.device, torch.int64, copy=True)
        unit = ((adversarial - low) / (high - low)).float()
        num_classes = _num_classes(logits, unit, labels)
        robust = torch.cat([predicted(part) for part in unit.split(batch_size)]) == labels
        for attack in _attacks(logits, num_classes, norm, eps / (high - low), seed) if eps else ():
            for rows in _batches(robust, batch_size):
                found = attack(unit[rows], labels[rows])
                broken = predicted(found) != labels[rows]
                adversarial[rows[broken]] = (low + (high - low) * found[broken]).to(x.dtype)
                robust[rows[broken]] = False
    return adversarial, robust


def _batches(robust: Tensor, size: int) -> Sequence[Tensor]:
    """The survivors, by their places."""
    survivors = robust.nonzero().flatten()
    return survivors.split(size) if len(survivors) else ()


def _attacks(
    logits: Callable[[Tensor], Tensor], num_classes: int, norm: str, eps: float, seed: int
) -> list[Attack]:
    """The four, in the standard's order and with its budgets."""
    check_installed()
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    class TargetedCrossEntropy(APGDAttack_targeted):
        """The library has this loss, and lets nobody choose it."""

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
        raise ValueError(f"inputs of shape {tuple(x.shape)}: AutoAttack takes images (B, C, H, W) alone")
    height, width = x.shape[2:]
    if norm == "l2" and not 5 <= height == width:
        raise ValueError(
            f"images of {height} × {width}: Square within an L2 ball needs square ones, 5 × 5 pixels or more"
        )


def _num_classes(logits: Callable[[Tensor], Tensor], unit: Tensor, labels: Tensor) -> int:
    """Of the model, which is asked for a gradient at the smallest and at the largest label."""
    probe = torch.stack([labels.argmin(), labels.argmax()])
    with torch.enable_grad():
        loss_gradient(logits, unit[probe], labels[probe], check=True)
    return logits(unit[:1]).shape[1]
