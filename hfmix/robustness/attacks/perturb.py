"""The attacks of a threat on a batch, as the adversarial axis and transfer between models make them."""

from collections.abc import Callable

import torch
from torch import Tensor

from hfmix.robustness.attacks.gradient import fgsm, ifgsm, l2_start, linf_start, pgd
from hfmix.robustness.attacks.inputs import AttackedModel
from hfmix.robustness.attacks.threats import Threat, eps_name
from hfmix.utils.keyed_noise import ImageKeys


def perturbed(
    threat: Threat,
    attack: str,
    eps: float,
    model: AttackedModel,
    x: Tensor,
    y: Tensor,
    starts: Callable[[], Tensor],
    seed: int,
) -> Tensor:
    """Returns adversarial inputs, (B, ...), within a radius.

    Args:
        threat: gives the norm, the steps and the restarts.
        attack: one of its attacks.
        eps: the radius.
        model: what is attacked, with the lengths of these inputs.
        x: (B, ...) in the model's bounds.
        y: (B,) classes.
        starts: gives the (restarts, B, ...) offsets at which PGD, and no other attack, begins: `random_starts`.
        seed: seed of AutoAttack's draws.
    """
    common = {"norm": threat.norm, "bounds": model.bounds, "mask": model.mask(x)}
    if attack == "fgsm":
        return fgsm(model, x, y, eps, **common)
    if attack == "autoattack":
        from hfmix.robustness.attacks.auto import autoattack  # its library is an extra

        return autoattack(model, x, y, eps, threat.norm, seed, model.bounds)
    step_size = threat.step_of(attack, eps)
    if attack == "ifgsm":
        return ifgsm(model, x, y, eps, step_size, threat.steps, **common)
    return pgd(
        model, x, y, eps, step_size, threat.steps, random_start=starts(), restarts=threat.restarts, **common
    )


def random_starts(threat: Threat, eps: float, x: Tensor, mask: Tensor | None, seed: int, first: int) -> Tensor:
    """Returns offsets for PGD's random starts, (restarts, B, ...), which depend on an example's place alone.

    Args:
        threat: gives the norm and the number of restarts.
        eps: the radius.
        x: (B, ...) the inputs of a whole batch.
        mask: booleans that broadcast with x; offsets are drawn where it is True.
        seed: seed of the evaluation.
        first: the place of the batch's first example in its data set.
    """

    def start(restart: int) -> Tensor:
        keys = ImageKeys(seed, first, f"pgd {threat.norm} {eps_name(eps)}", restart, len(x), x.device)
        if threat.norm == "linf":
            return linf_start(keys.uniform(x.shape[1:]), eps)
        normal = keys.normal(x.shape[1:])
        return l2_start(normal if mask is None else normal * mask, keys.uniform((), stream=1), eps)

    return torch.stack([start(restart) for restart in range(threat.restarts)])
