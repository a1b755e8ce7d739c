"""OOD scores, higher for in-distribution (ID) input, computed from logits or from features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hfmix.metrics.inputs import ArrayLike, row_chunks

if TYPE_CHECKING:
    from hfmix.robustness.axes.feature_reference import FeatureReference

Scores = Mapping[str, np.ndarray]


def ood_scores(
    logits: np.ndarray, features: ArrayLike | None = None, reference: "FeatureReference | None" = None
) -> dict[str, np.ndarray]:
    """Computes every score that the input allows, by name, (N,) each, in float64.

    The scores from features are there where features and a reference are given. Energy and Dempster–Shafer are
    left out where the model gives log-probabilities, whose log-sum-exp is 0 for every input.

    Args:
        logits: (N, C).
        features: (N, d), the input of the model's last layer.
        reference: the features of the training set.

    Raises:
        ValueError: only one of features and reference is given, or they do not fit each other.
    """
    parts = [logits[rows].astype(np.float64) for rows in row_chunks(logits)]
    scores = {
        name: np.concatenate([score.compute(part) for part in parts])
        for name, score in SCORES.items()
        if not score.from_features
    }
    if np.abs(scores["energy"]).max() < 1e-5:
        del scores["energy"], scores["dempster_shafer"]
    if (features is None) != (reference is None):
        raise ValueError("k-NN and Mahalanobis need features and a reference: give both or neither")
    if reference is not None:
        for name, score in SCORES.items():
            if score.from_features:
                scores[name] = score.compute(reference, features)
    return scores


def full_spectrum(inside: Scores, *shifted: Scores) -> dict[str, np.ndarray]:
    """Joins the ID scores of full-spectrum OOD detection (Yang et al. 2022, arXiv 2204.05306): clean and shifted.

    Only scores that all sets have are kept. The intervals assume independent examples; those of a corrupted copy
    of the clean set are not, so its intervals are too narrow.
    """
    sets = (inside, *shifted)
    return {name: np.concatenate([s[name] for s in sets]) for name in inside if all(name in s for s in sets)}


def max_probability(logits: np.ndarray) -> np.ndarray:
    """Computes MSP (Hendrycks & Gimpel 2017, arXiv 1610.02136): the largest softmax probability, (N,)."""
    return np.exp(logits.max(1) - _log_sum_exp(logits))


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Computes MLS (Hendrycks et al. 2022, arXiv 1911.11132): the largest logit, (N,) from (N, C)."""
    return logits.max(1)


def negative_energy(logits: np.ndarray) -> np.ndarray:
    """Computes −E at temperature 1 (Liu et al. 2020, arXiv 2010.03759): log-sum-exp of the logits, (N,)."""
    return _log_sum_exp(logits)


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """Computes ``sum_c p[c] log p[c]`` in nats, (N,) from (N, C) logits."""
    log_prob = logits - _log_sum_exp(logits)[:, None]
    return (np.exp(log_prob) * log_prob).sum(1)


def dempster_shafer(logits: np.ndarray) -> np.ndarray:
    """Computes ``−C / (C + sum_c exp(logits[c]))`` (Sensoy et al. 2018, arXiv 1806.01768), (N,) from (N, C).

    RegMixup's paper reports it. It increases with the energy score, so that both rank alike.
    """
    return -1 / (1 + np.exp(np.minimum(_log_sum_exp(logits) - np.log(logits.shape[1]), 700)))


def generalized_entropy(logits: np.ndarray, gamma: float = 0.1, top: int = 100) -> np.ndarray:
    """Computes GEN (Liu et al. 2023, CVPR): ``−sum p^gamma (1 − p)^gamma`` over the `top` largest, (N,).

    ``1 − p`` of the largest is summed from the others, since the power magnifies rounding errors.
    """
    odds = np.sort(np.exp(logits - logits.max(1, keepdims=True)), axis=1)[:, ::-1]
    total = odds.sum(1, keepdims=True)
    p, rest = odds / total, 1 - odds / total
    rest[:, 0] = odds[:, 1:].sum(1) / total[:, 0]
    return -((p * rest)[:, :top] ** gamma).sum(1)


@dataclass(frozen=True)
class Score:
    """An OOD score: how it is computed, and the words for it.

    Attributes:
        compute: (N,) scores from (N, C) float64 logits, or, with `from_features`, from a `FeatureReference` and
            (N, d) features.
        words: the convention, for the report's page.
        label: the name in the legend of the ROC figure; None where the curve would repeat another one.
        from_features: whether it needs features of the test set and of the training set.
        why_missing: the reason that is reported where it cannot be computed.
    """

    compute: Callable[..., np.ndarray]
    words: str
    label: str | None
    from_features: bool = False
    why_missing: str = ""


_NO_ENERGY = "the model gives log-probabilities, whose energy is constant"
_NO_FEATURES = "no features of training data given"
SCORES: dict[str, Score] = {
    "msp": Score(max_probability, "largest probability", "largest probability"),
    "max_logit": Score(max_logit, "largest logit", "largest logit"),
    "energy": Score(negative_energy, "energy: the log-sum-exp of the logits", "energy", why_missing=_NO_ENERGY),
    "entropy": Score(negative_entropy, "entropy of the probabilities, negated", "entropy"),
    "dempster_shafer": Score(
        dempster_shafer, "Dempster–Shafer: ranks as the energy does", None, why_missing=_NO_ENERGY
    ),
    "gen": Score(generalized_entropy, "generalised entropy of the probabilities", "GEN"),
    "knn": Score(
        lambda reference, features: reference.nearest_neighbour(features),
        "k-NN: distance to the 50th nearest training feature, negated",
        "k-NN",
        from_features=True,
        why_missing=_NO_FEATURES,
    ),
    "mahalanobis": Score(
        lambda reference, features: reference.mahalanobis(features),
        "Mahalanobis distance to the nearest class mean, negated",
        "Mahalanobis",
        from_features=True,
        why_missing=_NO_FEATURES,
    ),
}
"""Every score by its name in a report, in the order in which they are shown."""


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(1)
    return top + np.log(np.exp(logits - top[:, None]).sum(1))
