"""Attacks that follow the gradient of the cross-entropy in the input: FGSM, I-FGSM and PGD.

An attack takes a model, inputs (B, ...) in `bounds`, their classes (B,) and a radius, and returns inputs of the
same shape, each within the radius of the original and in the bounds. The model gives logits (B, C), or an output
with `.logits`. It is attacked in evaluation mode; its modules' modes and its parameters' gradients are left as
they were.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.robustness.attacks.checks import NO_GRADIENT, check_batch, check_logits, check_settings
from hfmix.utils.model_calls import input_gradients, logits_of

_TINY = 1e-10  # keeps a gradient of zeros from being divided by zero


def fgsm(
    model: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    eps: float = 8 / 255,
    *,
    norm: str = "linf",
    bounds: tuple[float, float] = (0.0, 1.0),
    mask: Tensor | None = None,
) -> Tensor:
    """Takes one step of length `eps` along the gradient's sign (Goodfellow et al., arXiv 1412.6572).

    With `norm` "l2", the step goes along the gradient itself. Arguments, result and errors: see `pgd`.
    """
    return pgd(model, x, y, eps, eps, 1, norm, random_start=False, bounds=bounds, mask=mask)


def ifgsm(
    model: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    eps: float = 8 / 255,
    step_size: float | None = None,
    steps: int = 10,
    norm: str = "linf",
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    mask: Tensor | None = None,
) -> Tensor:
    """Steps from the input itself, by ``eps / steps`` each by default (Kurakin et al., arXiv 1607.02533).

    Other arguments, result and errors: see `pgd`.
    """
    if step_size is None:
        step_size = eps / steps if steps > 0 else 0.0
    return pgd(model, x, y, eps, step_size, steps, norm, random_start=False, bounds=bounds, mask=mask)


def pgd(
    model: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    eps: float = 8 / 255,
    step_size: float = 2 / 255,
    steps: int = 10,
    norm: str = "linf",
    random_start: bool | Tensor = True,
    generator: torch.Generator | None = None,
    restarts: int = 1,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    mask: Tensor | None = None,
) -> Tensor:
    """Steps from a random point in the ball, projecting back each time (Madry et al., arXiv 1706.06083).

    A step goes along the gradient's sign; with `norm` "l2", along the gradient scaled to length one. The result is
    within `eps` in exact arithmetic, not only up to rounding: in float32 it stays up to 1e-7 inside.

    Args:
        model: gives logits (B, C), or an output with `.logits`, for inputs in `bounds`.
        x: floating-point inputs in `bounds`, (B, ...).
        y: the inputs' classes, (B,) integers.
        eps: radius of the ball, in the input's own unit; 0 returns x.
        step_size: length of a step, in the norm.
        steps: number of steps.
        norm: "linf", the largest change of an element, or "l2", the Euclidean length of an example's change.
        random_start: whether to start at a random point; or the starting points as offsets from x, (B, ...), or
            with restarts (restarts, B, ...).
        generator: draws the random starts; None for torch's own.
        restarts: number of runs from new starts; for each example, the result with the largest loss is kept.
        bounds: smallest and largest value that an input can have.
        mask: booleans that broadcast with x; inputs where it is False, such as padding, stay as they are.

    Returns:
        The adversarial inputs, (B, ...) like x, without gradient.

    Raises:
        TypeError: inputs that are not floating point, or labels that are not integers.
        ValueError: labels of a wrong shape or beyond the model's classes, inputs outside the bounds, a radius
            below 0 or beyond the whole range, an unknown norm, fewer than one step, or a model whose logits are
            not finite or have no gradient.
    """
    check_batch(x, y, bounds)
    check_settings(x, eps, step_size, steps, norm, bounds)
    starts = _starts(x, eps, norm, random_start, generator, restarts)
    with input_gradients(model):
        x, y = (
            x.detach().clone(),
            y.to(x.device, torch.int64, copy=True),
        )  # copies, as a tensor made in inference mode allows no gradient
        if eps == 0:
            return x
        ball = _Ball(x, eps, norm, bounds, mask)
        best = best_loss = None
        undefined = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for start in starts:
            perturbed = ball.start(start)
            for step in range(steps):
                gradient = loss_gradient(model, perturbed, y, check=step == 0)
                undefined |= gradient.flatten(1).isnan().any(1)  # as sign(NaN) = 0 would hide it
                perturbed = ball.step(perturbed, gradient, step_size)
            perturbed = ball.finish(perturbed)
            if len(starts) == 1:
                best = perturbed
                break
            loss = _losses(model, perturbed, y)
            if best is None:
                best, best_loss = perturbed, loss
            else:
                better = loss > best_loss
                best[better], best_loss[better] = perturbed[better], loss[better]
    if undefined.any():
        row = int(undefined.nonzero()[0])
        raise ValueError(f"the model's gradient is not a number, first for example {row} of the batch")
    return best


def linf_start(uniform: Tensor, eps: float) -> Tensor:
    """Scales (B, ...) uniform on [0, 1) to offsets that are uniform in the cube."""
    return uniform.mul(2 * eps).sub_(eps)


def l2_start(normal: Tensor, uniform: Tensor, eps: float) -> Tensor:
    """Turns standard normal (B, ...) and uniform (B,) into offsets of uniform direction and length up to eps.

    As in torchattacks; nearer to the centre than uniform draws from the ball, whose lengths are all about eps.
    """
    return normal * _each(eps * uniform / _lengths(normal).add_(_TINY), normal)


class _Ball:
    """The region that inputs may reach: within the radius and the bounds, with rounding on the safe side."""

    def __init__(self, x: Tensor, eps: float, norm: str, bounds: tuple[float, float], mask: Tensor | None) -> None:
        self.x, self.norm = x, norm
        self.radius = eps
        self.low: Tensor | float
        self.high: Tensor | float
        self.low, self.high = bounds
        if norm == "linf":
            # less the rounding errors of the radius, and of x ± radius, which lies within the bounds
            self.radius = max(0.0, eps - (max(map(abs, bounds)) + eps) * torch.finfo(x.dtype).eps / 2)
            self.low = (x - self.radius).clamp_(min=bounds[0])
            self.high = (x + self.radius).clamp_(max=bounds[1])
        if mask is not None:
            self.low, self.high = (torch.where(mask, bound, x) for bound in (self.low, self.high))

    def start(self, offset: Tensor | None) -> Tensor:
        if offset is None:
            return self.x.clone()
        return self._projected(self.x + offset)

    def step(self, perturbed: Tensor, gradient: Tensor, size: float) -> Tensor:
        """Takes one step, in place."""
        if self.norm == "linf":
            return perturbed.add_(gradient.sign_(), alpha=size).clamp_(self.low, self.high)
        perturbed.add_(gradient.mul_(_each(size / _lengths(gradient).add_(_TINY), gradient)))
        return self._projected(perturbed)

    def finish(self, perturbed: Tensor) -> Tensor:
        """Brings inputs within the radius exactly: in double precision, no element farther out by rounding."""
        if self.norm == "linf":
            return perturbed
        delta = perturbed - self.x
        lengths = _lengths(delta.double())
        # the scaled offset is rounded again
        safe = self.radius * (1 - 8 * torch.finfo(perturbed.dtype).eps)
        factor = (safe / lengths).clamp_(max=1).to(perturbed.dtype)
        return self._clamped(_offset(self.x, delta * _each(factor, delta)))

    def _projected(self, perturbed: Tensor) -> Tensor:
        if self.norm == "l2":
            delta = perturbed.sub_(self.x)
            perturbed = delta.mul_(_each((self.radius / _lengths(delta)).clamp_(max=1), delta)).add_(self.x)
        return self._clamped(perturbed)

    def _clamped(self, perturbed: Tensor) -> Tensor:
        return perturbed.clamp_(self.low, self.high)


def loss_gradient(model: Callable[[Tensor], Any], x: Tensor, y: Tensor, check: bool) -> Tensor:
    """Returns the gradient of the summed cross-entropy: each example's own, independent of the batch."""
    x.requires_grad_(True)
    logits = logits_of(model(x))
    if check:
        check_logits(logits, y)
    loss = F.cross_entropy(logits, y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, allow_unused=True)
    if gradient is None:
        raise ValueError(NO_GRADIENT)
    x.requires_grad_(False)
    return gradient


def _losses(model: Callable[[Tensor], Any], x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return F.cross_entropy(logits_of(model(x)), y, reduction="none")


def _starts(
    x: Tensor,
    eps: float,
    norm: str,
    random_start: bool | Tensor,
    generator: torch.Generator | None,
    restarts: int,
) -> list[Tensor | None]:
    """Returns an offset for each restart; None stands for x itself."""
    if restarts < 1:
        raise ValueError(f"restarts={restarts}: at least 1 is needed")
    if isinstance(random_start, Tensor):
        given = random_start[None] if restarts == 1 and random_start.shape == x.shape else random_start
        if given.shape != (restarts, *x.shape):
            raise ValueError(
                f"random_start has shape {tuple(random_start.shape)}; {restarts} restarts of inputs "
                f"{tuple(x.shape)} need {(restarts, *x.shape)}"
            )
        return list(given.to(x))
    if not random_start:
        if restarts > 1:
            raise ValueError(f"restarts={restarts} without random_start would all give the same: set restarts=1")
        return [None]
    return [_drawn_start(x, eps, norm, generator) for _ in range(restarts)]


def _drawn_start(x: Tensor, eps: float, norm: str, generator: torch.Generator | None) -> Tensor:
    settings = {"generator": generator, "device": x.device if generator is None else generator.device}
    if norm == "linf":
        return linf_start(torch.rand(x.shape, **settings), eps).to(x)
    return l2_start(torch.randn(x.shape, **settings), torch.rand(len(x), **settings), eps).to(x)


def _offset(x: Tensor, delta: Tensor) -> Tensor:
    """Computes x + delta such that rounding takes no element farther from x than delta."""
    moved = x + delta
    too_far = (moved.double() - x.double()).abs_() > delta.abs()
    return torch.where(too_far, torch.nextafter(moved, x), moved)


def _lengths(x: Tensor) -> Tensor:
    """Returns the Euclidean lengths, (B,), of (B, ...)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1)


def _each(values: Tensor, x: Tensor) -> Tensor:
    """Reshapes (B,) to (B, 1, ...), to broadcast with x."""
    return values.reshape(-1, *[1] * (x.ndim - 1))
