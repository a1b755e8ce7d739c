"""Numbers with their intervals, and what a model said of each example."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from hfmix.robustness.estimates import Predictions


def estimate(value: float, interval: tuple[float, float], n: int) -> dict[str, Any]:
    """One figure of a report: the value, its 95 % interval, and how many examples it rests on."""
    return {"value": float(value), "ci95": [float(bound) for bound in interval], "n": int(n)}


def iter_estimates(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    if {"value", "ci95", "n"} <= node.keys():
        yield "/".join(path), node
        return
    for key, child in node.items():
        yield from iter_estimates(child, (*path, key))


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
