"""Weights that make up for classes of different sizes."""

from typing import Any

import torch
from torch import Tensor


def balanced_class_weights(labels: Any, num_classes: int) -> Tensor:
    """Computes ``N / (C * number of examples of the class)``, scikit-learn's "balanced", (C,) float64.

    Args:
        labels: (N,) class indices, or (N, C) distributions, each of which counts for several classes in part.
        num_classes: the number of classes C.

    Raises:
        ValueError: a class has no examples, so that its weight would be infinite; the message gives its index.
    """
    labels = torch.as_tensor(labels)
    if labels.ndim == 2:
        counts = labels.sum(0, dtype=torch.float64)
    else:
        counts = torch.bincount(labels.long(), minlength=num_classes).double()
    _check_counts(counts, num_classes, "no example of class {}")
    return len(labels) / (num_classes * counts)


def balanced_pos_weight(labels: Any) -> Tensor:
    """Computes ``examples without the class / examples with it``, (C,) float64, for a binary cross-entropy.

    Args:
        labels: (N, C) zeros and ones.

    Raises:
        ValueError: a class has no examples, so that its weight would be infinite; the message gives its index.
    """
    labels = torch.as_tensor(labels)
    positives = labels.sum(0, dtype=torch.float64)
    _check_counts(positives, labels.shape[1], "no example with class {}")
    return (len(labels) - positives) / positives


def _check_counts(counts: Tensor, num_classes: int, problem: str) -> None:
    if len(counts) != num_classes:
        raise ValueError(f"the labels are of {len(counts)} classes, not {num_classes}")
    if not bool((counts > 0).all()):
        raise ValueError(problem.format(int((counts <= 0).nonzero()[0])))
