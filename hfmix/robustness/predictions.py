"""The file of a model's predictions for each example, by which two models are compared example by example."""

from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

PREDICTIONS_FILE = "predictions.safetensors"
Predictions = dict[str, np.ndarray]


def save_predictions(predictions: Predictions, fingerprint: str, folder: Path) -> None:
    """Writes ``predictions.safetensors``, with the test set's fingerprint."""
    arrays = {name: np.ascontiguousarray(array) for name, array in predictions.items()}
    save_file(arrays, folder / PREDICTIONS_FILE, metadata={"fingerprint_sha256": fingerprint})


def load_predictions(file: Path, fingerprint: str) -> Predictions:
    """Reads what `save_predictions` wrote.

    Raises:
        ValueError: the predictions belong to another test set.
    """
    with safe_open(file, framework="numpy") as stored:
        stored_fingerprint = (stored.metadata() or {}).get("fingerprint_sha256")
        if stored_fingerprint != fingerprint:
            raise ValueError(f"{file} is of another test set than the report beside it: measure the model again")
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
