"""Every example of a split read once before training: those that cannot be read, and the sizes of the others."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm.auto import tqdm

from hfmix.data.kinds import KINDS
from hfmix.data.kinds.base import FileCells
from hfmix.data.labelled import LabelledData

logger = logging.getLogger(__name__)

_CHUNK = 64  # examples that a thread reads per task
_FORMAT = "1"  # version of the cache; a new number ignores older files
_ROUNDING = 1e-5  # of lengths, which are kept in float32
_ROW = "\N{NULL}"  # in a cached message, the place of the row's name


@dataclass(frozen=True, eq=False)
class Examination:
    """The result of reading every example of a split of N examples.

    Attributes:
        unreadable: the message on each example that cannot be read, by position in the split.
        facts: numbers about each example by name, each (N,) float32, NaN for one that cannot be read: ``width``
            and ``height`` in pixels of images, ``sampling_rate`` in Hz and ``seconds`` of clips.
    """

    unreadable: dict[int, str]
    facts: dict[str, np.ndarray]

    def with_shortest(self, data: LabelledData, seconds: float | None) -> "Examination":
        """Returns the examination of `data` with clips shorter than this, the model's window, among the others.

        None stands for a model that takes clips of any length.
        """
        if seconds is None or "seconds" not in self.facts:
            return self
        lengths = self.facts["seconds"]
        short = np.flatnonzero(lengths < seconds * (1 - _ROUNDING))
        reasons = {
            int(i): f"{data.place(int(i))} is {lengths[i]:.3g} s long, and the model needs {seconds:.3g} s"
            for i in short
        }
        return Examination(dict(sorted({**reasons, **self.unreadable}.items())), self.facts)

    def usable(self, data: LabelledData) -> LabelledData:
        """Returns the examples of `data` that can be read."""
        if not self.unreadable:
            return data
        return data.select(np.setdiff1d(np.arange(len(data)), list(self.unreadable)))


def examine(data: LabelledData, progress: bool = True) -> Examination:
    """Reads every image or clip of a split; the rows of a table have been read already.

    Images are decoded at a reduced scale where their format allows it. The result is kept in the `datasets`
    library's cache under a hash of the files' paths, sizes and times of change, or of the bytes that the data set
    stores, so that the same data are read once.

    Args:
        data: the split.
        progress: show a progress bar.
    """
    if not issubclass(KINDS[data.kind].cells, FileCells) or not len(data):
        return Examination({}, {})
    file = _cache_file(data)
    examination = _read(file, len(data)) if file.is_file() else None
    if examination is None:
        examination = _examine(data, progress)
        _write(examination, file)
    named = {
        i: text.replace(_ROW, f"{data.name} row {data.rows[i]}") for i, text in examination.unreadable.items()
    }
    return Examination(named, examination.facts)


def _examine(data: LabelledData, progress: bool) -> Examination:
    names = KINDS[data.kind].cells.fact_names
    facts = {name: np.full(len(data), np.nan, dtype=np.float32) for name in names}
    unreadable: dict[int, str] = {}

    def read(positions: range) -> int:
        for i, cell in zip(positions, data.stored(positions), strict=True):
            try:
                values = KINDS[data.kind].cells.facts(cell, _ROW)
            except ValueError as error:
                unreadable[i] = str(error)
                continue
            for name, value in zip(names, values, strict=True):
                facts[name][i] = value
        return len(positions)

    words = KINDS[data.kind].words
    bar = tqdm(
        total=len(data),
        desc=f"reading the {data.name} set",
        unit=words.examples.removesuffix("s"),
        delay=2,
        disable=None if progress else True,
    )
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for count in pool.map(read, _chunks(len(data))):
            bar.update(count)
    return Examination(dict(sorted(unreadable.items())), facts)


def _cache_file(data: LabelledData) -> Path:
    digest = hashlib.sha256(f"{_FORMAT}\n{data.kind}\n".encode())
    for positions in _chunks(len(data)):
        for cell in data.stored(positions):
            digest.update(_identity(cell))
    return Path(datasets.config.HF_DATASETS_CACHE) / "hfmix" / f"examined-{digest.hexdigest()}.safetensors"


def _identity(cell: dict[str, Any] | None) -> bytes:
    """Returns bytes that change when a cell does."""
    path, content = ((cell or {}).get(name) for name in ("path", "bytes"))
    if content is not None:
        return f"{path}\n{len(content)}\n".encode(errors="surrogateescape") + hashlib.sha256(content).digest()
    with suppress(OSError, TypeError):
        state = Path(path).stat()
        return f"{path}\n{state.st_size} {state.st_mtime_ns}\n".encode(errors="surrogateescape")
    return f"{path}\nnot there\n".encode(errors="surrogateescape")


def _read(file: Path, count: int) -> Examination | None:
    try:
        with safe_open(file, "numpy") as kept:
            facts = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118, it is no mapping
            unreadable = json.loads(kept.metadata()["unreadable"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s): reading the examples again", file, error)
        return None
    if any(len(values) != count for values in facts.values()):
        return None
    return Examination({int(i): text for i, text in unreadable.items()}, facts)


def _write(examination: Examination, file: Path) -> None:
    """Caches the result; a failure only logs a warning."""
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(examination.facts, part, metadata={"unreadable": json.dumps(examination.unreadable)})
        part.replace(file)
    except (OSError, SafetensorError) as error:
        logger.warning("the next run will read all examples again: %s", error)
        with suppress(OSError):
            part.unlink()


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
