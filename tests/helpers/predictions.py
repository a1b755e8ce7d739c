"""Logits, probabilities and labels of a classifier that is right more often than not."""

import numpy as np
import torch


def softmax_and_labels(n=500, c=7, seed=0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, c)) * 2
    labels = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(c, size=n))
    return torch.from_numpy(logits), torch.from_numpy(logits).softmax(1), torch.from_numpy(labels)
