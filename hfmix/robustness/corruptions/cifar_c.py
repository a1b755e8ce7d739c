"""Corrupted test sets in CIFAR-10-C's layout: one NumPy file per corruption, its severities one after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from hfmix.data.labelled import LabelledData
from hfmix.robustness.corruptions.image import corrupt
from hfmix.robustness.corruptions.image.constants import SEVERITIES

_AT_ONCE = 1000


def save_cifar_c(
    data: LabelledData,
    folder: str | Path,
    corruptions: Sequence[str],
    seed: int = 0,
    mode: Literal["parity", "corrected"] = "parity",
) -> None:
    """Writes ``NAME.npy``, (5 N, H, W, 3) uint8 with severity 1 first, per corruption, and ``labels.npy``, (5 N,).

    Args:
        data: N images of one size.
        folder: receives the files; existing ones are kept.
        corruptions, seed, mode: see `hfmix.corrupt`.

    Raises:
        ValueError: the images have different sizes.
    """
    folder, n = Path(folder), len(data)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = data.example(0).size
    for name in tqdm(corruptions, unit="corruption"):
        file = folder / f"{name}.npy"
        if file.exists():
            continue
        unfinished = (
            folder / f".{name}.npy"
        )  # renamed when complete, so that no partial file is taken for a whole one
        shape = (len(SEVERITIES) * n, height, width, 3)
        stack = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        for start in range(0, n, _AT_ONCE):
            images = [data.example(i) for i in range(start, min(start + _AT_ONCE, n))]
            if other := next((image for image in images if image.size != (width, height)), None):
                raise ValueError(f"all images must have one size: there are {(width, height)} and {other.size}")
            levels = np.stack([np.asarray(image) for image in images])
            for j, severity in enumerate(SEVERITIES):
                at = j * n + start
                stack[at : at + len(levels)] = corrupt(levels, name, severity, seed, start, mode)
        stack.flush()
        del stack
        unfinished.rename(file)
    np.save(folder / "labels.npy", np.tile(data.labels.astype(np.uint8), len(SEVERITIES)))


class CifarC:
    """A folder in CIFAR-10-C's layout, such as the published one; files are read on demand.

    Args:
        folder: holds ``labels.npy`` and one file per corruption.

    Raises:
        ValueError: ``labels.npy`` is missing or not in the layout.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        labels = self.folder / "labels.npy"
        if not labels.is_file():
            raise ValueError(f"{labels} is missing: a folder in CIFAR-10-C's layout has one")
        self.labels = np.load(labels, allow_pickle=False).astype(np.int64)
        if len(self.labels) % len(SEVERITIES):
            raise ValueError(
                f"{labels} holds {len(self.labels)} labels: not a multiple of {len(SEVERITIES)} severities"
            )

    @property
    def names(self) -> list[str]:
        """Lists the corruptions in the folder."""
        return sorted(file.stem for file in self.folder.glob("*.npy") if file.stem != "labels")

    def __len__(self) -> int:
        return len(self.labels) // len(SEVERITIES)

    def images(self, name: str, severity: int, rows: np.ndarray) -> np.ndarray:
        """Returns these rows of the test set under one corruption, (B, H, W, 3) uint8.

        Raises:
            ValueError: the corruption's file is missing, or not in the layout.
        """
        file = self.folder / f"{name}.npy"
        if not file.is_file():
            raise ValueError(f"{file} is missing: {self.folder} holds {', '.join(self.names)}")
        stack = np.load(file, mmap_mode="r", allow_pickle=False)
        if stack.dtype != np.uint8 or stack.ndim != 4 or len(stack) != len(self.labels):
            raise ValueError(f"{file} holds {stack.dtype} {stack.shape}, not uint8 ({len(self.labels)}, H, W, 3)")
        return np.ascontiguousarray(stack[(severity - 1) * len(self) + rows])

    def check_labels(self, data: LabelledData) -> None:
        """Raises a ValueError unless the folder's labels are those of the test set, in order."""
        expected = data.labels
        if data.rows.max() >= len(self) or (self.labels[: len(self)][data.rows] != expected).any():
            raise ValueError(
                f"{self.folder / 'labels.npy'} does not hold the labels of the {data.name} set in its order"
            )
