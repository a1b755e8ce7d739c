"""What the metrics take: torch tensors, NumPy arrays or lists, checked once and made NumPy arrays."""

from collections.abc import Iterator
from typing import Any

import numpy as np

ArrayLike = Any  # torch tensors, NumPy arrays, lists
_CHUNK_ELEMENTS = 2**16  # half a MiB of float64, so that temporaries stay in the cache


def probabilities_and_labels(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) probabilities, float32 or float64 as given, and (N,) integer labels.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, or a row is negative
            or does not sum to 1 within 0.001.
    """
    probs, labels = finite_scores_and_labels(probs, labels, "probs")
    sums, lowest = probs.sum(1, dtype=np.float64), probs.min(1)
    if (wrong := (np.abs(sums - 1) > 1e-3) | (lowest < 0)).any():
        row = int(wrong.argmax())
        raise ValueError(
            "probs are probabilities, each row at least 0 and summing to 1: these look like logits "
            f"(row {row} sums to {sums[row]:.4g}, its smallest is {lowest[row]:.4g})"
        )
    return probs, labels


def logits_and_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) logits, float32 or float64 as given, and (N,) integer labels. Log-probabilities are logits too.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, a logit is not finite,
            or all rows are probabilities, of which a second softmax would be taken.
    """
    logits, labels = finite_scores_and_labels(logits, labels, "logits")
    if (np.abs(logits.sum(1, dtype=np.float64) - 1) < 1e-3).all() and logits.min() >= 0:
        raise ValueError("logits look like probabilities: each row sums to 1; give logits, or np.log(probs)")
    return logits, labels


def finite_scores_and_labels(scores: ArrayLike, labels: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) scores of any kind, float32 or float64 as given, and (N,) labels.

    Raises:
        ValueError: the set is empty, the shapes do not fit, a label is outside the classes, or a score is not
            finite.
    """
    scores, labels = as_array(scores), as_array(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(f"{name} are (N, C) and labels (N,) with N > 0, not {scores.shape} and {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels are integers, one class index an example, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"labels reach from {labels.min()} to {labels.max()}, {name} have {scores.shape[1]} classes"
        )
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if not (finite := np.isfinite(scores).all(1)).all():
        raise ValueError(f"{name} are not finite, first in row {int(finite.argmin())}")
    return scores, labels


def scores_of(values: ArrayLike, name: str) -> np.ndarray:
    """(N,) float64 with N > 0 and without NaN.

    Raises:
        ValueError: it is not; `name` says what it was meant to be.
    """
    scores = as_array(values)
    if scores.ndim != 1:
        raise ValueError(f"the {name} are (N,), not {scores.shape}")
    if len(scores) == 0 or np.isnan(scores).any():
        raise ValueError(f"the {name} are {'empty' if len(scores) == 0 else 'partly NaN'}")
    return scores.astype(np.float64)


def as_array(values: ArrayLike) -> np.ndarray:
    """A NumPy array on the CPU, contiguous and writable as torch wants it; half precision becomes float32."""
    if hasattr(values, "detach"):
        import torch  # a tensor's user has done so already

        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    array = np.require(values, requirements=["C", "W"])
    return array.astype(np.float32) if array.dtype == np.float16 else array


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices over the rows of (N, C), so that temporaries of one stay small."""
    step = max(1, _CHUNK_ELEMENTS // array.shape[1])
    for start in range(0, len(array), step):
        yield slice(start, start + step)
