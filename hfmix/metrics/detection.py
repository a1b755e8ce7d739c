"""How well a score tells in-distribution (ID) from out-of-distribution (OOD) input. Higher scores mean more ID."""

import numpy as np


def auroc(id_scores: np.ndarray, ood_scores: np.ndarray) -> float:
    """The probability that an ID score exceeds an OOD score, ties counted half.

    Raises:
        ValueError: one of the sets is empty or holds NaN.
    """
    _check(id_scores, ood_scores)
    ood = np.sort(ood_scores)
    below = np.searchsorted(ood, id_scores, side="left")
    not_above = np.searchsorted(ood, id_scores, side="right")
    return float((below + not_above).mean() / (2 * len(ood)))


def fpr_at_95_tpr(id_scores: np.ndarray, ood_scores: np.ndarray) -> float:
    """The share of ID input that is flagged when at least 95 % of the OOD input is (OOD is the positive class).

    The convention of OpenOOD from version 1.5. ODIN and the energy score's paper take ID as the positive class.

    Raises:
        ValueError: one of the sets is empty or holds NaN.
    """
    _check(id_scores, ood_scores)
    threshold = np.sort(ood_scores)[-(-95 * len(ood_scores) // 100) - 1]
    return float((np.asarray(id_scores) <= threshold).mean())


def _check(id_scores: np.ndarray, ood_scores: np.ndarray) -> None:
    for name, scores in (("ID", id_scores), ("OOD", ood_scores)):
        if len(scores) == 0 or np.isnan(scores).any():
            raise ValueError(f"the {name} scores are {'empty' if len(scores) == 0 else 'partly NaN'}")
