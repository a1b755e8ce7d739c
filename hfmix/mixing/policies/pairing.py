"""Pairings: those of the mixup paper's ablation (arXiv 1710.09412, section 3.8), and other libraries'.

Each returns every row's partner, (N,) int64. A row for which there is none (a batch of one, a class that no other
row has) is its own partner, and so stays as it is.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from hfmix.mixing.policies.base import Batch

Pairing = Callable[[Batch, np.random.Generator], np.ndarray]


def draw_partners(pairing: str, batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Draws the (N,) int64 partners by a pairing's name in `PAIRINGS`.

    Raises:
        ValueError: the pairing needs labels or inputs that `batch` does not have.
    """
    return PAIRINGS[pairing](batch, rng)


def random(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Draws a uniformly random permutation; a row may be its own partner."""
    return rng.permutation(batch.size)


def derangement(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Draws a uniformly random permutation without fixed points."""
    while True:  # one in e permutations has none
        partner = rng.permutation(batch.size)
        if batch.size == 1 or (partner != np.arange(batch.size)).all():
            return partner


def reversal(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Pairs each row with its mirror image in the batch, as timm does."""
    return np.arange(batch.size)[::-1].copy()


def roll(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Pairs each row with the one before, as torchvision does."""
    return np.roll(np.arange(batch.size), 1)


def same_class(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Draws a uniformly random permutation within each class."""
    labels, partner = _classes(batch), np.arange(batch.size)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        partner[rows] = rng.permutation(rows)
    return partner


def different_class(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Draws for each row one of the rows of other classes, uniformly and independently."""
    labels = _classes(batch)
    return _best(rng.random((batch.size, batch.size)), labels[:, None] != labels)


def nearest(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Returns for each row the other row at the smallest Euclidean distance."""
    return _best(-_distances(batch), ~np.eye(batch.size, dtype=bool))


def nearest_same_class(batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Returns for each row the nearest other row of its class."""
    labels = _classes(batch)
    return _best(-_distances(batch), (labels[:, None] == labels) & ~np.eye(batch.size, dtype=bool))


PAIRINGS: dict[str, Pairing] = {
    pairing.__name__: pairing
    for pairing in (
        random,
        derangement,
        reversal,
        roll,
        same_class,
        different_class,
        nearest,
        nearest_same_class,
    )
}


def _best(score: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Returns each row's allowed column with the largest score; the row itself where none is allowed."""
    best = np.where(allowed, score, -np.inf).argmax(1)
    return np.where(allowed.any(1), best, np.arange(len(score)))


def _classes(batch: Batch) -> np.ndarray:
    if not isinstance(batch.labels, Tensor) or len(batch.labels) != batch.size:
        raise ValueError(_missing("class", "labels", "(N,) or (N, C)", batch.labels))
    labels = batch.labels.cpu()
    return (labels if labels.ndim == 1 else labels.argmax(1)).numpy()


def _distances(batch: Batch) -> np.ndarray:
    if not isinstance(batch.inputs, Tensor) or len(batch.inputs) != batch.size:
        raise ValueError(_missing("distance", "inputs", "(N, *shape)", batch.inputs))
    rows = batch.inputs.detach().reshape(batch.size, -1).to(torch.promote_types(batch.inputs.dtype, torch.float32))
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()


def _missing(kind: str, argument: str, shape: str, given: object) -> str:
    what = f"a dictionary of {', '.join(given)}" if isinstance(given, Mapping) else None
    what = what or (f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else "none")
    return f"pairing by {kind} needs the batch's {argument}, {shape}: sample(..., {argument}=...); {what} given"
