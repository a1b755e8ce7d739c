"""What a model said of each example: what two models are compared by, example by example."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from hfmix.robustness.ood_scores import max_probability

PREDICTIONS_FILE = "predictions.safetensors"
Predictions = dict[str, np.ndarray]


def clean_predictions(logits: np.ndarray, log_prob: np.ndarray, labels: np.ndarray) -> Predictions:
    """``label``, ``predicted``, ``confidence`` (the largest probability) and ``nll`` (nats), (N,) each.

    Args:
        logits, log_prob: (N, C).
        labels: (N,) integers.
    """
    return {
        "label": labels.astype(np.int64),
        "predicted": log_prob.argmax(1).astype(np.int64),
        "confidence": max_probability(logits),  # as in the OOD scores, so that ties stay ties
        "nll": -log_prob[np.arange(len(labels)), labels],
    }


def corrupted_predictions(correct: np.ndarray, positions: np.ndarray) -> Predictions:
    """``corrupted_accuracy``, (M,), the mean over all cells; ``corrupted_row``, whose it is.

    Args:
        correct: (corruptions, severities, M).
        positions: (M,) places in the test set.
    """
    by_example = correct.mean((0, 1), dtype=np.float64)
    return {"corrupted_accuracy": by_example, "corrupted_row": positions.astype(np.int64)}


def ood_predictions(scores: Mapping[str, Mapping[str, np.ndarray]]) -> Predictions:
    """``msp/NAME`` for each OOD set, (M,), from its `ood_scores`."""
    return {f"msp/{name}": found["msp"] for name, found in scores.items()}


def save_predictions(predictions: Predictions, fingerprint: str, folder: Path) -> None:
    """Writes ``predictions.safetensors``; `fingerprint` is the test set's."""
    arrays = {name: np.ascontiguousarray(array) for name, array in predictions.items()}
    save_file(arrays, folder / PREDICTIONS_FILE, metadata={"fingerprint_sha256": fingerprint})


def load_predictions(file: Path, fingerprint: str) -> Predictions:
    """Reads what `save_predictions` wrote.

    Raises:
        ValueError: it is of another test set.
    """
    with safe_open(file, framework="numpy") as stored:
        theirs = (stored.metadata() or {}).get("fingerprint_sha256")
        if theirs != fingerprint:
            raise ValueError(f"{file} is of another test set than the report beside it: measure the model again")
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
