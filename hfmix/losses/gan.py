"""mixup for generative adversarial networks: the discriminator sees mixtures of real and generated examples."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hfmix.mixing.policies.base import is_number
from hfmix.mixing.policies.pairs import draw_lambda
from hfmix.utils.model_calls import logits_of
from hfmix.utils.randomness import numpy_generator


def mixup_discriminator_loss(
    discriminator: Callable[[Tensor], Any],
    real: Tensor,
    generated: Tensor,
    alpha: float = 0.2,
    *,
    granularity: str = "example",
    lam: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The mean over the batch of ``ℓ(d(λ·real + (1−λ)·generated), λ)``, ℓ the binary cross-entropy; a scalar.

    From mixup's section on GANs (arXiv 1710.09412): ``max_g min_d E ℓ(d(λx + (1−λ)g(z)), λ)``. The discriminator
    minimises it, on ``generated.detach()``. The generator maximises it, or takes the loss that it has: it may
    stay as it is. As α goes to 0, λ is 0 or 1 and the loss is that of the ordinary GAN in expectation,
    ``½ E ℓ(d(x), 1) + ½ E ℓ(d(g(z)), 0)``.

    Gradients reach the discriminator's weights, and `real` and `generated` where these require them. Mixed in the
    inputs' precision; the loss is computed in float32 at least.

    Args:
        discriminator: gives one logit an example, before any sigmoid: (B,), (B, 1), (B, 1, 1, 1), or a model's
            output with such "logits".
        real: (B, *shape), floating point.
        generated: (B, *shape).
        alpha: α > 0 of λ ~ Beta(α, α); 0.2 (the default) in the official code's figure.
        granularity: each "example" has a λ of its own, as in the official code, or the "batch" shares one.
        lam: (B,), the shares of the real examples, in [0, 1], instead of drawn ones.
        generator: where the randomness comes from; None is torch's global generator.

    Raises:
        TypeError: `real` or `generated` is no floating-point tensor.
        ValueError: their shapes differ or are empty, a setting is out of range, or there is not one logit an
            example.
    """
    _check_examples(real, generated)
    share = _draw(len(real), alpha, granularity, generator) if lam is None else _given(lam, len(real))
    share = share.to(real.device)
    by_row = share.to(real.dtype).reshape(-1, *[1] * (real.ndim - 1))
    logits = logits_of(discriminator(by_row * real + (1.0 - by_row) * generated))
    if logits.numel() != len(real):
        raise ValueError(
            f"the discriminator gives one logit an example: {len(real)} for this batch, not {tuple(logits.shape)}"
        )
    logits = logits.reshape(-1).to(torch.promote_types(logits.dtype, torch.float32))
    return F.binary_cross_entropy_with_logits(logits, share.to(logits.dtype))


def _draw(size: int, alpha: float, granularity: str, generator: torch.Generator | None) -> Tensor:
    """(size,) float64 shares of the real examples."""
    if not is_number(alpha) or alpha <= 0:
        raise ValueError(f"alpha is a finite number above 0, not {alpha!r}")
    if granularity not in ("batch", "example"):
        raise ValueError(f"granularity is 'batch' or 'example', not {granularity!r}")
    count = size if granularity == "example" else 1
    return torch.from_numpy(draw_lambda(numpy_generator(generator), alpha, count)).expand(size)


def _given(lam: Tensor, size: int) -> Tensor:
    if not isinstance(lam, Tensor) or lam.shape != (size,):
        found = tuple(lam.shape) if isinstance(lam, Tensor) else type(lam).__name__
        raise ValueError(f"lam is a tensor ({size},), the share of each real example, not {found}")
    low, high = (float(bound) for bound in lam.detach().aminmax())
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(f"lam lies in [0, 1], not in [{low:g}, {high:g}]")
    return lam.detach()


def _check_examples(real: Tensor, generated: Tensor) -> None:
    for name, x in (("real", real), ("generated", generated)):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"{name} is a floating-point tensor (B, *shape), not {kind}")
    if real.shape != generated.shape or real.ndim < 1 or not real.numel():
        raise ValueError(
            f"real {tuple(real.shape)} and generated {tuple(generated.shape)} have one shape (B, *shape), B at "
            f"least 1: generate as many examples as there are real ones"
        )
