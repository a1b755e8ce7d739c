"""Training features as the reference that feature-based OOD scores measure distance from."""

from dataclasses import dataclass

import numpy as np
import torch

from hfmix.metrics.inputs import ArrayLike, as_array

NEIGHBOURS = 50


@dataclass(frozen=True)
class FeatureReference:
    """The training set as feature scores measure distance from it; made by `fit`.

    Attributes:
        directions: (M, d) float32, the training features, each of length 1.
        whitening: (d, r) float64, which turns the shared covariance into the unit matrix.
        class_means: (K, r) float64, whitened.
    """

    directions: torch.Tensor
    whitening: torch.Tensor
    class_means: torch.Tensor

    @classmethod
    def fit(cls, features: ArrayLike, labels: ArrayLike) -> "FeatureReference":
        """Fits (M, d) training features and their (M,) labels.

        Directions in which no class varies (by less than 1e-12 of the mean square, which float32 does not resolve)
        are left out of the Mahalanobis distance, as they have no scale.

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
        """Computes minus the distance to the k-th nearest training feature, (N,).

        Source: Sun et al. 2022, arXiv 2204.06507.

        Both are scaled to length 1. Distances below about 0.001 are lost in float32.
        """
        directions = _directions(self._checked(features))
        nearest = [
            (part @ self.directions.T).topk(k, sorted=True).values[:, -1]
            for part in directions.split(max(1, 2**24 // len(self.directions)))
        ]
        return -(2 - 2 * torch.cat(nearest).double()).clamp(min=0).sqrt().numpy()

    def mahalanobis(self, features: ArrayLike) -> np.ndarray:
        """Computes minus the squared Mahalanobis distance to the nearest class mean, (N,).

        Source: Lee et al. 2018, arXiv 1807.03888.
        """
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
