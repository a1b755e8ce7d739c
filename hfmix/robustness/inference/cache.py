"""Finished pieces of an evaluation, so that one that was stopped goes on where it was."""

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
    """Arrays by name in a folder; nothing is kept where there is none.

    Args:
        folder: where the pieces are; it is made.
        model: whose outputs they are: pieces of other weights are not taken.
        prepared: what the processor makes of one example: pieces of another processor are not taken either.
    """

    def __init__(
        self, folder: Path | None, model: nn.Module, prepared: Mapping[str, Tensor] | None = None
    ) -> None:
        self.folder = folder
        self._key = "" if folder is None else _fingerprint(model.state_dict()) + _fingerprint(prepared or {})
        self._sampled: dict[int, bytes] = {}

    def of(self, name: str, data: LabelledData, compute: Callable[[], Arrays]) -> Arrays:
        """The piece of that name, computed and kept if it is not there or cannot be read."""
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
        found = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as stream:
            np.savez(stream, **found)
        unfinished.replace(file)
        return found

    def _sample(self, data: LabelledData) -> bytes:
        """What some of the examples hold, so that another set of the same name and length is told apart."""
        if id(data) not in self._sampled:
            some = np.linspace(0, len(data) - 1, min(len(data), 8)).astype(int)
            self._sampled[id(data)] = b"".join(data.cells.content(data.example(int(i))) for i in some)
        return self._sampled[id(data)]

    def clear(self) -> None:
        """Removes the pieces, once what they are for is written."""
        if self.folder is not None and self.folder.is_dir():
            for file in self.folder.glob("*.npz"):
                file.unlink(missing_ok=True)
            with suppress(OSError):  # another process was first, or other files are in it
                self.folder.rmdir()


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
