"""Decoding of a split's images into one tensor, cached on disk for the next run."""

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

_CHUNK = 256  # images that a thread decodes per task
_SHARE = 0.8  # of the free memory that the images may take; the rest is for training
_CGROUP = Path("/sys/fs/cgroup")
_FORMAT = "1"  # version of the cache; a new number ignores older files


def decoded(
    data: LabelledData, prepare: Callable[[Image.Image], np.ndarray], recipe: str | None, progress: bool = True
) -> Tensor:
    """Decodes every image of a split into one tensor, (N, H, W, C) uint8.

    The tensor is cached in the `datasets` library's cache under a hash of the images' stored bytes, in order, and
    of `recipe`: if a file changes or the cached tensor is damaged, the images are decoded again.

    Args:
        data: the split, of images.
        prepare: turns an RGB image into (H, W, C) uint8; called from several threads.
        recipe: a description of `prepare` that changes whenever its result does; None disables the cache.
        progress: show a progress bar.

    Raises:
        ValueError: an image cannot be read or differs in size from the first one; the message names its row.
        MemoryError: the images need more memory than is free; the message says how much.
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
    """Raises a MemoryError if `count` uint8 images of `shape` (H, W, C) take more than 80 % of `free` bytes."""
    need = count * int(np.prod(shape))
    if need > _SHARE * free:
        height, width, channels = shape
        raise MemoryError(
            f"{count:,} images of {height}×{width}×{channels} take {_size(need)}, more than {_SHARE:.0%} of the "
            f"{_size(free)} of {where} that are free"
        )


def free_memory() -> int:
    """Returns the free memory in bytes, of the machine or of its container, whichever is less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        # the page cache, which the system frees when memory is needed
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
            image = prepare(ImageCells.decode(cell, where))
            if image.shape != shape:
                sizes = " and ".join(f"{s[0]}×{s[1]}" for s in (image.shape, shape))
                raise ValueError(
                    f"{where} and {data.name} row {data.rows[0]} have {sizes} pixels, but data_in_memory "
                    f"needs images of one size: resize them first, or leave it out"
                )
            rows[i] = image
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
    """Caches the images if the disk has room for them; a failure only logs a warning."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(file.parent).free < 2 * images.nbytes:
            logger.warning(
                "no room for %s in %s: the next run will decode again",
                _size(images.nbytes),
                file.parent,
            )
            return
        save_file({"images": images}, part, metadata={"sha256": _digest(images)})
        part.replace(file)
    except (OSError, SafetensorError) as error:
        logger.warning("the decoded images are not cached for the next run: %s", error)
        with suppress(OSError):
            part.unlink()


def _digest(images: Tensor) -> str:
    return hashlib.sha256(images.contiguous().numpy()).hexdigest()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
