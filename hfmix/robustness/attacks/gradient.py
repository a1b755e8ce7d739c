"""Attacks that follow the gradient of the cross-entropy in the input: FGSM, I-FGSM and PGD.

An attack is a function of a model, inputs (B, ...) in `bounds`, their classes (B,) and a radius; it gives inputs
of the same shape, each within the radius of its own and in the bounds. A model gives logits (B, C), or an output
with `.logits`. It is attacked in evaluation mode; its modules' modes, and its parameters' gradients, are left as
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
    """One step to the rim of the ball, along the gradient's sign (Goodfellow et al., arXiv 1412.6572).

    With `norm` "l2", along the gradient itself. Arguments, result and errors are those of `pgd`.
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
    """Steps from the input itself, by default equal ones of ``eps / steps`` (Kurakin et al., arXiv 1607.02533).

    Other arguments, result and errors are those of `pgd`.
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
    """Steps from a random place in the ball, each projected back into it (Madry et al., arXiv 1706.06083).

    A step goes along the gradient's sign, with `norm` "l2" along the gradient scaled to length one. What comes out
    is within `eps` in exact arithmetic, not only up to rounding: in float32 it stays up to 1e-7 inside.

    Args:
        model: logits (B, C), or an output with `.logits`, of inputs in `bounds`.
        x: (B, ...) floating point, in `bounds`.
        y: (B,) integers, the classes.
        eps: radius of the ball, in the input's own unit; 0 gives x.
        step_size: length of a step, in the norm.
        steps: how many.
        norm: "linf", the largest change of an element, or "l2", the root of the sum of an example's squared ones.
        random_start: whether to start at a random place, or the places, as offsets from x: (B, ...), with
            restarts (restarts, B, ...).
        generator: of the random places.
        restarts: how often to begin anew; of each example, the end with the largest loss is kept.
        bounds: smallest and largest value that an input can have.
        mask: booleans that broadcast with x; where False, as on padding, the input stays as it is.

    Returns:
        (B, ...) like x, without gradient.

    Raises:
        TypeError: inputs that are no floats, labels that are no integers.
        ValueError: labels of another shape or of no class of the model's, inputs outside the bounds, a radius
            below 0 or beyond the whole range, an unknown norm, fewer than one step, a model whose logits are not
            finite or have no gradient.
    """
    check_batch(x, y, bounds)
    check_settings(x, eps, step_size, steps, norm, bounds)
    starts = _starts(x, eps, norm, random_start, generator, restarts)
    with input_gradients(model):
        x, y = (
            x.detach().clone(),
            y.to(x.device, torch.int64, copy=True),
        )  # a tensor of inference mode becomes usual
        if eps == 0:
            return x
        ball = _Ball(x, eps, norm, bounds, mask)
        best = best_loss = None
        undefined = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for start in starts:
            found = ball.start(start)
            for step in range(steps):
                gradient = loss_gradient(model, found, y, check=step == 0)
                undefined |= gradient.flatten(1).isnan().any(1)  # the sign of NaN is 0
                found = ball.step(found, gradient, step_size)
            found = ball.finish(found)
            if len(starts) == 1:
                best = found
                break
            loss = _losses(model, found, y)
            if best is None:
                best, best_loss = found, loss
            else:
                better = loss > best_loss
                best[better], best_loss[better] = found[better], loss[better]
    if undefined.any():
        row = int(undefined.nonzero()[0])
        raise ValueError(f"the model's gradient is not a number, first for example {row} of the batch")
    return best


def linf_start(uniform: Tensor, eps: float) -> Tensor:
    """Offsets, uniform in the cube, from (B, ...) uniform on [0, 1)."""
    return uniform.mul(2 * eps).sub_(eps)


def l2_start(normal: Tensor, uniform: Tensor, eps: float) -> Tensor:
    """Offsets of uniform direction, and uniform length up to eps, from (B, ...) standard normal and (B,) uniform.

    As in torchattacks; nearer to the centre than uniform in the ball, whose lengths are all about eps.
    """
    return normal * _each(eps * uniform / _lengths(normal).add_(_TINY), normal)


class _Ball:
    """Where the inputs may go: the radius and the bounds, with rounding on the safe side."""

    def __init__(self, x: Tensor, eps: float, norm: str, bounds: tuple[float, float], mask: Tensor | None) -> None:
        self.x, self.norm = x, norm
        self.radius = eps
        self.low: Tensor | float
        self.high: Tensor | float
        self.low, self.high = bounds
        if norm == "linf":
            # less what rounding can add: of the radius, and of x ± radius, which lies within the bounds
            self.radius = max(0.0, eps - (max(map(abs, bounds)) + eps) * torch.finfo(x.dtype).eps / 2)
            self.low = (x - self.radius).clamp_(min=bounds[0])
            self.high = (x + self.radius).clamp_(max=bounds[1])
        if mask is not None:
            self.low, self.high = (torch.where(mask, bound, x) for bound in (self.low, self.high))

    def start(self, offset: Tensor | None) -> Tensor:
        if offset is None:
            return self.x.clone()
        return self._projected(self.x + offset)

    def step(self, found: Tensor, gradient: Tensor, size: float) -> Tensor:
        """In place."""
        if self.norm == "linf":
            return found.add_(gradient.sign_(), alpha=size).clamp_(self.low, self.high)
        found.add_(gradient.mul_(_each(size / _lengths(gradient).add_(_TINY), gradient)))
        return self._projected(found)

    def finish(self, found: Tensor) -> Tensor:
        """Within the radius exactly: the length in double precision, and no element farther out by rounding."""
        if self.norm == "linf":
            return found
        delta = found - self.x
        lengths = _lengths(delta.double())
        # the scaled offset is rounded again
        safe = self.radius * (1 - 8 * torch.finfo(found.dtype).eps)
        factor = (safe / lengths).clamp_(max=1).to(found.dtype)
        return self._clamped(_offset(self.x, delta * _each(factor, delta)))

    def _projected(self, found: Tensor) -> Tensor:
        if self.norm == "l2":
            delta = found.sub_(self.x)
            found = delta.mul_(_each((self.radius / _lengths(delta)).clamp_(max=1), delta)).add_(self.x)
        return self._clamped(found)

    def _clamped(self, found: Tensor) -> Tensor:
        return found.clamp_(self.low, self.high)


def loss_gradient(model: Callable[[Tensor], Any], found: Tensor, y: Tensor, check: bool) -> Tensor:
    """Of the summed cross-entropy: each example's own gradient, whatever the batch."""
    found.requires_grad_(True)
    logits = logits_of(model(found))
    if check:
        check_logits(logits, y)
    loss = F.cross_entropy(logits, y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, found, allow_unused=True)
    if gradient is None:
        raise ValueError(NO_GRADIENT)
    found.requires_grad_(False)
    return gradient


def _losses(model: Callable[[Tensor], Any], found: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return F.cross_entropy(logits_of(model(found)), y, reduction="none")


def _starts(
    x: Tensor,
    eps: float,
    norm: str,
    random_start: bool | Tensor,
    generator: torch.Generator | None,
    restarts: int,
) -> list[Tensor | None]:
    """An offset for each restart; None stands for x itself."""
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
            raise ValueError(f"restarts={restarts} without random_start would all be the same: give restarts=1")
        return [None]
    return [_drawn_start(x, eps, norm, generator) for _ in range(restarts)]


def _drawn_start(x: Tensor, eps: float, norm: str, generator: torch.Generator | None) -> Tensor:
    settings = {"generator": generator, "device": x.device if generator is None else generator.device}
    if norm == "linf":
        return linf_start(torch.rand(x.shape, **settings), eps).to(x)
    return l2_start(torch.randn(x.shape, **settings), torch.rand(len(x), **settings), eps).to(x)


def _offset(x: Tensor, delta: Tensor) -> Tensor:
    """x + delta, where rounding takes no element farther from x than delta."""
    moved = x + delta
    too_far = (moved.double() - x.double()).abs_() > delta.abs()
    return torch.where(too_far, torch.nextafter(moved, x), moved)


def _lengths(x: Tensor) -> Tensor:
    """(B,) Euclidean lengths of (B, ...)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1)


def _each(values: Tensor, x: Tensor) -> Tensor:
    """(B,) to (B, 1, ...), to go with x."""
    return values.reshape(-1, *[1] * (x.ndim - 1))
