"""The norm of the Jacobian of a classifier's logits with respect to its input, example by example."""

import torch
from torch import Tensor

from hfmix.utils.keyed_noise import ImageKeys

MAX_DIRECTIONS = 10
"""Most backward passes for one Jacobian; with more classes its norm is estimated from this many directions."""


def jacobian_norm(logits: Tensor, inputs: Tensor, directions: Tensor, scale: Tensor | None = None) -> Tensor:
    """Computes ‖J‖_F of each row from K backward passes, J the Jacobian of its logits with respect to its input.

    For orthonormal directions v_1 … v_K in the space of the logits, ‖J‖²_F is estimated by C/K · Σ_k ‖Jᵀv_k‖²:
    exact for K = C, and unbiased for directions that are random (Hutchinson's estimator with orthogonal vectors).
    The root of the mean then lies a little below the norm.

    Args:
        logits: (R, C), computed from `inputs` row by row.
        inputs: (R, *shape), requiring gradients.
        directions: (R, K, C).
        scale: a factor for the derivatives, broadcast against one input.

    Returns:
        (R,) float32.

    Raises:
        ValueError: no gradient reaches the inputs.
    """
    if not logits.requires_grad:
        raise ValueError(
            "the model gives no gradients with respect to its input (a quantised or exported model, or one that "
            "computes without them): it cannot be measured in between"
        )
    num_directions, num_classes = directions.shape[1:]
    squared = torch.zeros(len(inputs), device=inputs.device)
    for k in range(num_directions):
        last = k == num_directions - 1
        # one after another: batched over directions, the backward pass of a convolution takes longer on a CPU
        (gradient,) = torch.autograd.grad(logits, inputs, directions[:, k].to(logits), retain_graph=not last)
        gradient = gradient.float() if scale is None else gradient.float() * scale
        squared += gradient.square().flatten(1).sum(1)
    return (squared * (num_classes / num_directions)).sqrt()


def directions_of(num_classes: int, seed: int, first: int, count: int) -> Tensor:
    """Returns (B, K, C) float32 directions of B pairs from `first` on: the classes, or ten random ones."""
    if num_classes <= MAX_DIRECTIONS:
        return torch.eye(num_classes).expand(count, -1, -1)
    keys = ImageKeys(seed, first, "interpolation", 0, count, torch.device("cpu"))
    return torch.linalg.qr(keys.normal((num_classes, MAX_DIRECTIONS)).double()).Q.mT.float()
