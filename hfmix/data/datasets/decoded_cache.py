"""Images decoded once into one tensor, which is kept on disk for the next run."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import datasets
import numpy as np
import psutil
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from hfmix.data.kinds.image import ImageCells
from hfmix.data.labelled import LabelledData

logger = logging.getLogger(__name__)

_CHUNK = 256  # images that a thread decodes at once
_SHARE = 0.8  # of the free memory that the images may take: training needs some too
_CGROUP = Path("/sys/fs/cgroup")
_FORMAT = "1"  # of the cache; another number leaves what was written before aside


def decoded(
    data: LabelledData, prepare: Callable[[Image.Image], np.ndarray], recipe: str | None, progress: bool = True
) -> Tensor:
    """(N, H, W, C) uint8, every image of a split.

    Kept in the `datasets` library's cache under a name that follows from the stored bytes of each image, in their
    order, and from `recipe`: where a file behind it changes, it is decoded anew. A kept tensor that is damaged is
    decoded anew too.

    Args:
        data: images.
        prepare: an image in RGB to (H, W, C) uint8; called from several threads.
        recipe: what `prepare` does, in words that change when it does; None keeps nothing.
        progress: show a bar.

    Raises:
        ValueError: an image cannot be read, or is of another size than the first; its row is named.
        MemoryError: they take more memory than is free; the message says how much.
    """
    first = prepare(data.example(0))
    check_memory(len(data), first.shape, free_memory())
    file = None if recipe is None else _cache_file(data, recipe)
    if file is not None and file.is_file():
        kept = _read(file, (len(data), *first.shape))
        if kept is not None:
            return kept
    images = _decode(data, prepare, first.shape, progress)
    if file is not None:
        _write(images, file)
    return images


def check_memory(count: int, shape: Sequence[int], free: int, where: str = "memory") -> None:
    """Raises a MemoryError where `count` uint8 images of `shape` (H, W, C) take more than 80 % of `free` bytes."""
    need = count * int(np.prod(shape))
    if need > _SHARE * free:
        height, width, channels = shape
        raise MemoryError(
            f"{count:,} images of {height}×{width}×{channels} take {_size(need)}, more than {_SHARE:.0%} of the "
            f"{_size(free)} of {where} that are free"
        )


def free_memory() -> int:
    """Bytes that can still be had: of the machine, or of the container where it is held to fewer."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        # files that were read and that the system forgets when memory is wanted
        cached = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return min(free, limit - used + int(cached["inactive_file"]))
    except (OSError, ValueError, KeyError):  # no such limit, or "max"
        return free


def _decode(
    data: LabelledData, prepare: Callable[[Image.Image], np.ndarray], shape: tuple[int, ...], progress: bool
) -> Tensor:
    images = torch.empty((len(data), *shape), dtype=torch.uint8)
    rows = images.numpy()

    def decode(positions: range) -> int:
        for i, cell in zip(positions, data.stored(positions), strict=True):
            where = f"{data.name} row {data.rows[i]}"
            found = prepare(ImageCells.decode(cell, where))
            if found.shape != shape:
                sizes = " and ".join(f"{s[0]}×{s[1]}" for s in (found.shape, shape))
                raise ValueError(
                    f"{where} and {data.name} row {data.rows[0]} have {sizes} pixels, and data_in_memory takes "
                    f"images of one size: resize them first, or leave it out"
                )
            rows[i] = found
        return len(positions)

    bar = tqdm(total=len(data), desc="decoding", unit="image", disable=None if progress else True)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for count in pool.map(decode, _chunks(len(data))):
            bar.update(count)
    return images


def _cache_file(data: LabelledData, recipe: str) -> Path:
    digest = hashlib.sha256(f"{_FORMAT}\n{recipe}\n".encode())
    for positions in _chunks(len(data)):
        for cell in data.stored(positions):
            content = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
    return Path(datasets.config.HF_DATASETS_CACHE) / "hfmix" / f"{digest.hexdigest()}.safetensors"


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _read(file: Path, shape: tuple[int, ...]) -> Tensor | None:
    try:
        with safe_open(file, "pt") as kept:
            images, digest = kept.get_tensor("images"), (kept.metadata() or {}).get("sha256")
    except (OSError, SafetensorError) as error:
        logger.warning("%s is damaged (%s): decoding the images again", file, error)
        return None
    if images.shape != shape or _digest(images) != digest:
        logger.warning("%s is damaged: decoding the images again", file)
        return None
    return images


def _write(images: Tensor, file: Path) -> None:
    """Keeps the images, where the disk has room for them; a run goes on without."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(file.parent).free < 2 * images.nbytes:
            logger.warning("no room for %s in %s: the next run decodes again", _size(images.nbytes), file.parent)
            return
        save_file({"images": images}, part, metadata={"sha256": _digest(images)})
        part.replace(file)
    except (OSError, SafetensorError) as error:
        logger.warning("the decoded images are not kept for the next run: %s", error)
        with suppress(OSError):
            part.unlink()


def _digest(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy()).hexdigest()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
