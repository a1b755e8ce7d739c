"""Forward passes over a data set: batched, decoded ahead, shared among processes, and cached piece by piece."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from tqdm.auto import tqdm

from hfmix.data.kinds.base import Preprocessor
from hfmix.data.labelled import LabelledData
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.sharding import gather_rows, own_batches
from hfmix.utils.model_calls import call_model, evaluating

# an interrupted evaluation loses at most this many batches
_BATCHES_A_PIECE = 16


@dataclass(frozen=True)
class Outputs:
    """A model's outputs on a data set.

    Attributes:
        logits: the logits, (N, C) float64.
        features: the last linear layer's inputs, (N, F) float32; None if not requested.
        fingerprint: SHA-256 of the decoded examples and their labels, in order.
    """

    logits: np.ndarray
    features: np.ndarray | None
    fingerprint: str


class Runner:
    """A model with its preprocessor, batch size and cache.

    Args:
        model: gives logits, or an output with `.logits`; used on its own device, in evaluation mode.
        preprocessor: makes the model's inputs.
        batch_size: examples per forward pass.
        cache: keeps finished parts.
        alone: compute all batches here, without sharing them among processes.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessor: Preprocessor,
        batch_size: int,
        cache: ResultCache,
        alone: bool = False,
    ) -> None:
        self.model = model
        self.preprocessor = preprocessor
        self.batch_size = min(batch_size, preprocessor.max_batch_size or batch_size)
        self.device = next(model.parameters()).device
        self.cache = cache
        self.alone = alone

    def outputs(self, data: LabelledData, bar: tqdm, with_features: bool = False) -> Outputs:
        """Computes the logits of all examples, each once, and returns them on every process.

        Raises:
            ValueError: features are requested, and the model ends in no linear layer.
        """

        def batch(start: int, examples: Sequence[Any], inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
            labels = data.labels[start : start + len(examples)]
            digests = [
                hashlib.sha256(label.tobytes() + data.cells.content(example)).digest()
                for example, label in zip(examples, labels, strict=True)
            ]
            logits, features = self.forward(inputs, with_features)
            rows = {"logits": logits, "digest": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)}
            return rows if features is None else {**rows, "features": features}

        name = "features" if with_features else "logits"
        rows = self.rows(data, name, lambda _, examples: self.preprocessor.inputs(examples), batch, bar)
        fingerprint = hashlib.sha256(rows["digest"].tobytes()).hexdigest()
        return Outputs(rows["logits"].astype(np.float64), rows.get("features"), fingerprint)

    def rows(
        self,
        data: LabelledData,
        name: str,
        prepare: Callable[[int, Sequence[Any]], Any],
        batch: Callable[[int, Sequence[Any], Any], dict[str, np.ndarray]],
        bar: tqdm,
        count: bool = True,
    ) -> dict[str, np.ndarray]:
        """Computes named rows for the whole data set, from the pieces of all processes.

        Args:
            data: the N examples.
            name: names the computation and all settings that it depends on: pieces of other names are ignored.
            prepare: prepares a batch from its first example's position and its examples, while the model works on
                the batch before.
            batch: computes the batch's rows from the same two and the prepared batch.
            bar: progress bar, advanced once per example; with `count` False, by `batch` itself.
            count: advance `bar` here.
        """
        starts = list(range(0, len(data), self.batch_size))
        mine = starts if self.alone else own_batches(starts)
        pieces: list[dict[str, np.ndarray]] = []
        for first in range(0, len(mine), _BATCHES_A_PIECE):
            group = mine[first : first + _BATCHES_A_PIECE]

            def compute(group: Sequence[int] = group) -> dict[str, np.ndarray]:
                rows = []
                for start, examples, prepared in self._ahead(data, group, prepare):
                    rows.append(batch(start, examples, prepared))
                    if count:
                        bar.update(len(examples))
                return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

            pieces.append(self.cache.of(f"{name}-{group[0]}-{len(group)}-{self.batch_size}", data, compute))
        own = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]} if pieces else {}
        return own if self.alone else gather_rows(own, len(data), self.batch_size)

    def _ahead(
        self, data: LabelledData, starts: Sequence[int], prepare: Callable[[int, Sequence[Any]], Any]
    ) -> Iterator[tuple[int, list[Any], Any]]:
        """Yields batches; the next one is decoded and prepared while the model works on this one."""

        def load(start: int) -> tuple[int, list[Any], Any]:
            examples = [data.example(i) for i in range(start, min(start + self.batch_size, len(data)))]
            return start, examples, prepare(start, examples)

        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(load, starts[0])
            for start in starts[1:]:
                ready, waiting = waiting, thread.submit(load, start)
                yield ready.result()
            yield waiting.result()

    def forward(
        self, inputs: Mapping[str, Tensor], with_features: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        with evaluating(self.model), _features_of(self.model, with_features) as seen:
            logits = call_model(self.model, inputs).detach().float().cpu().numpy()
        if not with_features:
            return logits, None
        if not seen:
            raise ValueError("the model ends in no linear layer, whose inputs would be its features")
        return logits, seen[-1].float().cpu().numpy()


@contextmanager
def _features_of(model: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """Collects the inputs of the model's last linear layer within the block, if wanted."""
    seen: list[Tensor] = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not wanted or not linear:
        yield seen
        return
    hook = linear[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()
