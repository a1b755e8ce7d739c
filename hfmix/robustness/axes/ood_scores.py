"""Scores of how in-distribution (ID) an input is, higher meaning more: from logits, and from features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hfmix.metrics.inputs import ArrayLike, as_array, row_chunks

Scores = Mapping[str, np.ndarray]
NEIGHBOURS = 50


def ood_scores(
    logits: np.ndarray, features: ArrayLike | None = None, reference: "FeatureReference | None" = None
) -> dict[str, np.ndarray]:
    """Every score that the input allows, by name, (N,) each, in float64.

    `LOGIT_SCORES` from logits; ``knn`` and ``mahalanobis`` where features and a reference are given. Energy and
    Dempster–Shafer are left out where the model gives log-probabilities, whose log-sum-exp is 0 for every input.

    Args:
        logits: (N, C).
        features: (N, d), what the model's last layer takes.
        reference: the same of the training set.

    Raises:
        ValueError: features come without a reference or the other way round, or do not fit it.
    """
    parts = [logits[rows].astype(np.float64) for rows in row_chunks(logits)]
    scores = {name: np.concatenate([score(part) for part in parts]) for name, score in LOGIT_SCORES.items()}
    if np.abs(scores["energy"]).max() < 1e-5:
        del scores["energy"], scores["dempster_shafer"]
    if (features is None) != (reference is None):
        raise ValueError("k-NN and Mahalanobis need features and a reference: give both or neither")
    if reference is not None:
        scores["knn"] = reference.nearest_neighbour(features)
        scores["mahalanobis"] = reference.mahalanobis(features)
    return scores


def full_spectrum(inside: Scores, *shifted: Scores) -> dict[str, np.ndarray]:
    """The ID scores of full-spectrum OOD detection (Yang et al. 2022, arXiv 2204.05306): clean and shifted.

    Only scores that all sets have are kept. The intervals take the examples for independent; those of a corrupted
    copy of the clean set are not, and their intervals are too narrow.
    """
    sets = (inside, *shifted)
    return {name: np.concatenate([s[name] for s in sets]) for name in inside if all(name in s for s in sets)}


def max_probability(logits: np.ndarray) -> np.ndarray:
    """MSP (Hendrycks & Gimpel 2017, arXiv 1610.02136): the largest softmax probability, (N,) from (N, C)."""
    return np.exp(logits.max(1) - _log_sum_exp(logits))


def max_logit(logits: np.ndarray) -> np.ndarray:
    """MLS (Hendrycks et al. 2022, arXiv 1911.11132): the largest logit, (N,) from (N, C)."""
    return logits.max(1)


def negative_energy(logits: np.ndarray) -> np.ndarray:
    """−E at temperature 1 (Liu et al. 2020, arXiv 2010.03759): log-sum-exp of the logits, (N,) from (N, C)."""
    return _log_sum_exp(logits)


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """``sum_c p[c] log p[c]`` in nats, (N,) from (N, C)."""
    log_prob = logits - _log_sum_exp(logits)[:, None]
    return (np.exp(log_prob) * log_prob).sum(1)


def dempster_shafer(logits: np.ndarray) -> np.ndarray:
    """``−C / (C + sum_c exp(logits[c]))`` (Sensoy et al. 2018, arXiv 1806.01768), (N,) from (N, C).

    RegMixup's paper reports it. It rises with the energy score, so that both rank alike.
    """
    return -1 / (1 + np.exp(np.minimum(_log_sum_exp(logits) - np.log(logits.shape[1]), 700)))


def generalized_entropy(logits: np.ndarray, gamma: float = 0.1, top: int = 100) -> np.ndarray:
    """GEN (Liu et al. 2023, CVPR): ``−sum p^gamma (1 − p)^gamma`` over the `top` largest probabilities, (N,).

    ``1 − p`` of the largest is summed from the others: the power makes much of what rounding would lose.
    """
    odds = np.sort(np.exp(logits - logits.max(1, keepdims=True)), axis=1)[:, ::-1]
    total = odds.sum(1, keepdims=True)
    p, rest = odds / total, 1 - odds / total
    rest[:, 0] = odds[:, 1:].sum(1) / total[:, 0]
    return -((p * rest)[:, :top] ** gamma).sum(1)


LOGIT_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "msp": max_probability,
    "max_logit": max_logit,
    "energy": negative_energy,
    "entropy": negative_entropy,
    "dempster_shafer": dempster_shafer,
    "gen": generalized_entropy,
}


@dataclass(frozen=True)
class FeatureReference:
    """What the feature scores measure distance from; made by `fit` from the training set.

    Attributes:
        directions: (M, d) float32, the training features, each of length 1.
        whitening: (d, r) float64; what the shared covariance becomes the unit matrix under.
        class_means: (K, r) float64, whitened.
    """

    directions: torch.Tensor
    whitening: torch.Tensor
    class_means: torch.Tensor

    @classmethod
    def fit(cls, features: ArrayLike, labels: ArrayLike) -> "FeatureReference":
        """From (M, d) training features and their (M,) labels.

        Directions in which no class varies (by less than 1e-12 of the mean square, which float32 does not resolve)
        are left out of Mahalanobis: there is no scale for them.

        Raises:
            ValueError: fewer than 50 examples, shapes that do not fit, features that are not finite, or features
                that do not vary within the classes.
        """
        rows, labels = _features(features), torch.from_numpy(as_array(labels)).long()
        if labels.shape != rows.shape[:1] or len(rows) < NEIGHBOURS:
            raise ValueError(
                f"reference features are (M, d) and labels (M,) with M of at least {NEIGHBOURS}, "
                f"not {tuple(rows.shape)} and {tuple(labels.shape)}"
            )
        index = labels.unique(return_inverse=True)[1]
        count = index.bincount().double()
        means = torch.zeros(len(count), rows.shape[1], dtype=torch.float64).index_add_(0, index, rows)
        means /= count[:, None]
        centred = rows - means[index]
        variance, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
        kept = variance > 1e-12 * rows.square().mean()
        if not kept.any():
            raise ValueError("the reference features do not vary within their classes: Mahalanobis has no scale")
        whitening = axes[:, kept] / variance[kept].sqrt()
        return cls(_directions(rows), whitening, means @ whitening)

    def nearest_neighbour(self, features: ArrayLike, k: int = NEIGHBOURS) -> np.ndarray:
        """k-NN (Sun et al. 2022, arXiv 2204.06507): minus the distance to the k-th nearest training feature, (N,).

        Both are scaled to length 1. Distances below about 0.001 drown in float32.
        """
        directions = _directions(self._checked(features))
        nearest = [
            (part @ self.directions.T).topk(k, sorted=True).values[:, -1]
            for part in directions.split(max(1, 2**24 // len(self.directions)))
        ]
        return -(2 - 2 * torch.cat(nearest).double()).clamp(min=0).sqrt().numpy()

    def mahalanobis(self, features: ArrayLike) -> np.ndarray:
        """Minus the squared Mahalanobis distance to the nearest class mean (Lee et al. 2018, arXiv 1807.03888)."""
        white = self._checked(features) @ self.whitening
        return -torch.cdist(white, self.class_means).amin(1).square().numpy()

    def _checked(self, features: ArrayLike) -> torch.Tensor:
        rows = _features(features)
        if rows.shape[1] != self.directions.shape[1]:
            raise ValueError(f"features have {rows.shape[1]} columns, the reference {self.directions.shape[1]}")
        return rows


def _features(features: ArrayLike) -> torch.Tensor:
    rows = torch.from_numpy(as_array(features)).double()
    if rows.ndim != 2 or not len(rows) or not rows.isfinite().all():
        raise ValueError(f"features are (N, d), finite, with N > 0; these are {tuple(rows.shape)}")
    return rows


def _directions(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1).float()


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(1)
    return top + np.log(np.exp(logits - top[:, None]).sum(1))
