"""A cache of an evaluation's finished pieces, so that an interrupted one resumes where it stopped."""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hfmix.data.labelled import LabelledData

Arrays = dict[str, np.ndarray]


class ResultCache:
    """A folder of named arrays; without a folder nothing is kept.

    Args:
        folder: holds the pieces; created when needed.
        model: the evaluated model: pieces of other weights are ignored.
        prepared: the processor's output for one example: pieces of another processor are ignored too.
    """

    def __init__(
        self, folder: Path | None, model: nn.Module, prepared: Mapping[str, Tensor] | None = None
    ) -> None:
        self.folder = folder
        self._key = "" if folder is None else _fingerprint(model.state_dict()) + _fingerprint(prepared or {})
        self._sampled: dict[int, bytes] = {}

    def of(self, name: str, data: LabelledData, compute: Callable[[], Arrays]) -> Arrays:
        """Returns the named piece, or computes and keeps it if it is missing or unreadable."""
        if self.folder is None:
            return compute()
        key = hashlib.sha256(f"{self._key} {name} {data.name}".encode())
        for part in (data.rows.tobytes(), data.labels.tobytes(), self._sample(data)):
            key.update(part)
        file = self.folder / f"{key.hexdigest()[:32]}.npz"
        try:
            with np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        except (OSError, ValueError, EOFError):
            pass
        arrays = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as stream:
            np.savez(stream, **arrays)
        unfinished.replace(file)
        return arrays

    def _sample(self, data: LabelledData) -> bytes:
        """Returns the content of a few examples, to tell sets of the same name and length apart."""
        if id(data) not in self._sampled:
            some = np.linspace(0, len(data) - 1, min(len(data), 8)).astype(int)
            self._sampled[id(data)] = b"".join(data.cells.content(data.example(int(i))) for i in some)
        return self._sampled[id(data)]

    def clear(self) -> None:
        """Removes the pieces, once the report is written."""
        if self.folder is not None and self.folder.is_dir():
            for file in self.folder.glob("*.npz"):
                file.unlink(missing_ok=True)
            with suppress(OSError):  # another process removed it, or it holds other files
                self.folder.rmdir()


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of named tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
