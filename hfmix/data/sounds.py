"""A column of sound clips, decoded when they are asked for."""

import io
from dataclasses import dataclass
from math import gcd
from typing import Any, ClassVar

import numpy as np
import soundfile
from datasets import Audio, Dataset, Value


@dataclass(frozen=True, eq=False)
class Sound:
    """A clip.

    Attributes:
        samples: (L,) float32 in [-1, 1], one channel.
        sampling_rate: samples a second, in Hz.
    """

    samples: np.ndarray
    sampling_rate: int

    def at(self, sampling_rate: int) -> "Sound":
        """The clip at another rate, by a polyphase filter (scipy's `resample_poly`)."""
        if sampling_rate == self.sampling_rate:
            return self
        from scipy.signal import resample_poly  # takes a while to import

        common = gcd(sampling_rate, self.sampling_rate)
        samples = resample_poly(self.samples, sampling_rate // common, self.sampling_rate // common)
        return Sound(samples.astype(np.float32), sampling_rate)


@dataclass(frozen=True, eq=False)
class SoundCells:
    """Clips as they are stored.

    Attributes:
        cells: a data set with one column, the clips, not decoded yet.
    """

    cells: Dataset
    kind: ClassVar[str] = "audio"

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def of(cls, dataset: Dataset, column: str, name: str) -> "SoundCells":
        """A column of `dataset`.

        Raises:
            ValueError: it does not hold sound, files or bytes; `name` says of which set.
        """
        feature = dataset.features[column]
        is_file = isinstance(feature, Value) and feature.dtype in ("string", "binary")
        if not (isinstance(feature, Audio) or is_file):
            raise ValueError(f"column {column!r} of the {name} set does not hold sound but {feature}")
        return cls(dataset.select_columns([column]).cast_column(column, Audio(decode=False)))

    def read(self, row: int, where: str) -> Sound:
        """A clip, its channels averaged to one.

        Raises:
            ValueError: it cannot be read, is empty, or holds values that are not finite; `where` names the row.
        """
        (cell,) = self.cells[row].values()
        return self.decode(cell, where)

    @staticmethod
    def decode(cell: dict[str, Any], where: str) -> Sound:
        """A cell, ``{"bytes": …, "path": …}``. Raises: as `read`."""
        return _decode(cell, where)

    @staticmethod
    def content(sound: Sound) -> bytes:
        """What makes the clip this one and no other: its rate and its samples, at 16 bits."""
        levels = np.round(sound.samples * 32768).clip(-32768, 32767).astype("<i2")
        return f"{sound.sampling_rate}".encode() + levels.tobytes()


def _decode(cell: dict[str, Any], where: str) -> Sound:
    try:
        source = io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except Exception as error:  # libsndfile's errors, an empty cell, a path that is not there
        path = f" ({cell['path']})" if cell and cell.get("path") else ""
        raise ValueError(f"{where}{path} is not sound that can be read: {error}") from error
    if not len(samples):
        raise ValueError(f"{where} is a clip without samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{where} holds samples that are not finite")
    return Sound(samples.mean(axis=1, dtype=np.float32), rate)
