"""The predictions of a model for each example, by which two models are compared example by example."""

from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

PREDICTIONS_FILE = "predictions.safetensors"
Predictions = dict[str, np.ndarray]


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
