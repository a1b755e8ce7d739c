"""Synthetic sound for tests."""

import io
from collections.abc import Sequence

import numpy as np
import soundfile
from datasets import Audio, ClassLabel, Dataset, Features, Value


def tone(hertz: float, seconds: float, rate: int = 16_000, level: float = 0.5) -> np.ndarray:
    """A sine."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def clips(samples: Sequence[np.ndarray], labels: Sequence[int], rate: int = 16_000, file: str = "WAV") -> Dataset:
    """A data set with the columns `audio`, encoded at 16 bits, and `label`, of the classes "no" and "yes"."""
    cells = []
    for clip in samples:
        buffer = io.BytesIO()
        soundfile.write(buffer, clip, rate, format=file)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    stored = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"audio": stored, "label": ClassLabel(names=["no", "yes"])})
    rows = Dataset.from_dict({"audio": cells, "label": list(labels)}, features=features)
    return rows.cast_column("audio", Audio(decode=False))
