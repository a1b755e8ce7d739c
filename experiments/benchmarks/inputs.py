"""Pictures for benchmarks: CIFAR-10 if it is at hand, otherwise synthetic ones of its size."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy as np

CLASSES = [str(i) for i in range(10)]
# the tests look for it here too
DEFAULT = Path(os.environ.get("HFMIX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "cifar10"
PATTERN = "train-*.parquet"


@contextmanager
def cifar10(folder: Path | None, count: int) -> Iterator[tuple[Path, str]]:
    """Yields a folder with training images of 32 pixels in Parquet files, and a description of them.

    Args:
        folder: a folder with CIFAR-10's `train-*.parquet`; None takes `DEFAULT` if it exists, else makes images.
        count: number of images to make.

    Raises:
        SystemExit: the folder holds no such file.
    """
    if folder is not None and not any(folder.glob(PATTERN)):
        raise SystemExit(f"no {PATTERN} in {folder}: give CIFAR-10's folder, or omit --data for synthetic images")
    if folder is None and any(DEFAULT.glob(PATTERN)):
        folder = DEFAULT
    # the cache that `datasets` makes of the files is removed when the benchmark ends
    before = datasets.config.HF_DATASETS_CACHE
    with tempfile.TemporaryDirectory() as temporary:
        datasets.config.HF_DATASETS_CACHE = Path(temporary) / "cache"
        try:
            if folder is not None:
                yield folder, "CIFAR-10"
                return
            made = Path(temporary) / "images"
            made.mkdir()
            made_images(count).to_parquet(made / "train-00000-of-00001.parquet")
            yield made, f"{count} synthetic images of 32 pixels, stored as PNG; CIFAR-10 was not at hand"
        finally:
            datasets.config.HF_DATASETS_CACHE = before


def made_images(count: int, size: int = 32) -> datasets.Dataset:
    """Makes `photographs` with labels in turn, stored as CIFAR-10 is on the Hub: ``image``, PNG, and ``label``."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    labels = [i % len(CLASSES) for i in range(count)]
    return datasets.Dataset.from_dict({"image": list(photographs(count, size)), "label": labels}, features)


def photographs(count: int, size: int) -> np.ndarray:
    """Draws (count, size, size, 3) uint8: blocks with a little noise, as hard to encode as a photograph."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(256, size=(count, size // 8, size // 8, 3), dtype=np.uint8)
    blocks = coarse.repeat(8, 1).repeat(8, 2).astype(np.int16)
    return np.clip(blocks + rng.normal(0, 6, blocks.shape), 0, 255).astype(np.uint8)
