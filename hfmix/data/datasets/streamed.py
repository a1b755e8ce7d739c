"""Streamed training data, read as needed and never stored: for data sets larger than the disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import fsspec
import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, LargeList, List, Value
from torch import Tensor
from torch.utils.data import IterableDataset as TorchIterableDataset
from torch.utils.data import get_worker_info

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import Columns, Resolved, columns_of, resolve
from hfmix.data.kinds import KINDS
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.open import Split
from hfmix.data.splits import open_training, read_split
from hfmix.utils.randomness import key_seeds, keyed_randomness

_STORED = {"bytes": Value("binary"), "path": Value("string")}
_READ = 32  # rows per read


@dataclass(frozen=True, eq=False)
class StreamedData:
    """A streamed split, with the attributes of `LabelledData` that do not need all rows.

    Attributes:
        stream: the inputs, not decoded, and the classes.
        columns: the columns of inputs and classes.
        class_names: the class names, in the order of the indices.
        is_multi_label: whether an example can have any number of classes.
        name: the split's name in messages.
    """

    stream: IterableDataset
    columns: Resolved
    class_names: list[str]
    is_multi_label: bool
    name: str
    num_changed_labels: int = 0

    @property
    def kind(self) -> str:
        """Returns the kind of input: "image" or "audio"."""
        return self.columns.kind

    def shard(self, index: int) -> Iterator[tuple[Any, Any]]:
        """Yields (cell, label) for the rows of a shard (a file of the source), in order."""
        # not the stream itself, which datasets would divide again among torch's workers
        part = self.stream.shard(num_shards=self.stream.num_shards, index=index)
        for rows in part.iter(batch_size=_READ):
            yield from zip(rows[self.columns.inputs], rows[self.columns.label], strict=True)

    def example(self, cell: dict[str, Any], where: str) -> Any:
        """Decodes a cell of the stream."""
        path = cell and cell.get("path")
        if path and cell["bytes"] is None and "://" in path:
            with fsspec.open(path, "rb") as file:
                cell = {"path": path, "bytes": file.read()}
        return KINDS[self.kind].cells.decode(cell, where)

    def label(self, value: Any, where: str) -> int | Tensor:
        """Returns a label as a class index, or as zeros and ones if examples can have several classes.

        Raises:
            ValueError: the row has no class.
        """
        values = value if self.is_multi_label else [value]
        if values is None or any(v is None or not 0 <= v < len(self.class_names) for v in values):
            raise ValueError(f"{where} has no class")
        if not self.is_multi_label:
            return value
        return torch.zeros(len(self.class_names)).index_fill_(0, torch.tensor(values, dtype=torch.long), 1.0)


class StreamedExamples(TorchIterableDataset):
    """An endless data set of a stream's examples: one pass after another, each in a different order.

    Each pass yields every example once. Shards are read in an order drawn from (seed, pass), and their rows go
    through a shuffle buffer; what the transform draws depends on (seed, pass, shard, row of the shard). The same
    seed and number of workers therefore give the same examples, and a run that resumes by skipping batches
    continues as if it had not stopped.

    Workers divide the shards of a pass among them; with fewer shards than workers, each worker reads all shards
    and keeps its own rows. With several processes, the main one reads for all, as accelerate does for data
    without a length.

    The data set is endless because the Trainer counts the steps of such data from the start of the run: if a pass
    ended, it would resume in the wrong one.

    Args:
        data: the split.
        transform: turns an image or a clip into the model's inputs.
        seed: seed of the order and the transform.
        buffer: number of undecoded rows kept in memory to shuffle, over all workers; 1 keeps the order.
    """

    def __init__(
        self, data: StreamedData, transform: Callable[[Any], dict[str, Tensor]], seed: int, buffer: int
    ) -> None:
        super().__init__()
        self.data = data
        self.transform = transform
        self.seed = seed
        self.buffer = buffer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, num_workers = (0, 1) if info is None else (info.id, info.num_workers)
        for passed in count():
            rng = np.random.default_rng(key_seeds(self.seed, passed, worker, num_workers))
            size = max(1, self.buffer // num_workers)
            is_empty = True
            for shard, row, cell, label in _shuffled(self._rows(passed, worker, num_workers), size, rng):
                is_empty = False
                where = f"{self.data.name} shard {shard} row {row}"
                example = self.data.example(cell, where)
                with keyed_randomness(self.seed, passed, shard, row):
                    inputs = self.transform(example)
                yield {**inputs, "labels": self.data.label(label, where)}
            if is_empty:
                raise ValueError(
                    f"worker {worker + 1} of {num_workers} finds no rows in the {self.data.name} set: "
                    f"lower dataloader_num_workers"
                )

    def _rows(self, passed: int, worker: int, num_workers: int) -> Iterator[tuple[int, int, Any, Any]]:
        """Yields (shard, row, cell, label) for the rows that a worker reads in a pass."""
        num_shards = self.data.stream.num_shards
        order = np.random.default_rng(key_seeds(self.seed, passed)).permutation(num_shards)
        if self.buffer == 1:
            order = np.arange(num_shards)
        own = order[worker::num_workers] if num_shards >= num_workers else order
        for shard in own.tolist():
            for row, (cell, label) in enumerate(self.data.shard(shard)):
                if num_shards >= num_workers or row % num_workers == worker:
                    yield shard, row, cell, label


def load_streams(args: DataArguments) -> dict[Split, StreamedData | LabelledData]:
    """Opens the training data as a stream, and test and (if any) validation data in memory.

    Of the latter, the first `max_test_samples` and `max_eval_samples` rows are read, or all.

    Raises:
        ValueError: there is no training or test split, it is a table, or its label column does not list its
            classes.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    opened = open_training(args, streaming=True)
    source = args.dataset_name or "train_file"
    for split in ("train", args.test_split):
        if split not in opened:
            hint = "" if split == "train" else ": a stream has no held-out part, set test_split or test_file"
            raise ValueError(f"{source} has no split {split!r}, only {', '.join(opened)}{hint}")
    columns = columns_of(args)
    train = as_streamed(opened["train"], columns, "train")
    splits: dict[Split, StreamedData | LabelledData] = {"train": train}
    wanted: list[tuple[Split, str, int | None]] = [("test", args.test_split, args.max_test_samples)]
    if args.test_split != "validation" and "validation" in opened:
        wanted.append(("validation", "validation", args.max_eval_samples))
    for split, name, limit in wanted:
        resolved = resolve(opened[name], columns, name)
        rows = _first_rows(opened[name], resolved, name, limit)
        splits[split] = read_split(rows, resolved, name, train.class_names)
    return splits


def as_streamed(stream: IterableDataset, columns: Columns, name: str) -> StreamedData:
    """Finds the columns and the classes of a stream.

    Raises:
        ValueError: a column is missing, the label column does not list its classes, or the stream is a table.
    """
    resolved = resolve(stream, columns, name)
    if isinstance(resolved.label, tuple):
        raise ValueError(
            f"a stream takes one label column, not {', '.join(resolved.label)}: store the classes as a list of "
            f"ClassLabel, or leave streaming out"
        )
    feature = stream.features[resolved.label]
    is_multi_label = isinstance(feature, List | LargeList)
    feature = feature.feature if is_multi_label else feature
    if not isinstance(feature, ClassLabel):
        raise ValueError(
            f"column {resolved.label!r} of the {name} set is {feature}, and a stream's classes have to be known "
            f"before its rows: store it as ClassLabel (datasets' class_encode_column), or leave streaming out"
        )
    return StreamedData(_undecoded(stream, resolved), resolved, list(feature.names), is_multi_label, name)


def _first_rows(stream: IterableDataset, columns: Resolved, name: str, limit: int | None) -> Dataset:
    raw = _undecoded(stream, columns)
    rows = list(raw if limit is None else raw.take(limit))
    if not rows:
        raise ValueError(f"the {name} set is empty")
    # as bytes and paths first: encoding as Audio would need a further library, and nothing needs encoding
    stored = Features({columns.inputs: _STORED, columns.label: raw.features[columns.label]})
    feature = KINDS[columns.kind].cells.feature
    return Dataset.from_list(rows, features=stored).cast_column(columns.inputs, feature)


def _undecoded(stream: IterableDataset, columns: Resolved) -> IterableDataset:
    feature = KINDS[columns.kind].cells.feature
    return stream.select_columns([columns.inputs, columns.label]).cast_column(columns.inputs, feature)


def _shuffled(rows: Iterator[Any], size: int, rng: np.random.Generator) -> Iterator[Any]:
    """Yields rows from a buffer of `size`: a random one for each new row, then the rest in random order."""
    buffer: list[Any] = []
    for row in rows:
        if len(buffer) < size:
            buffer.append(row)
            continue
        place = int(rng.integers(size))
        yield buffer[place]
        buffer[place] = row
    for place in rng.permutation(len(buffer)).tolist():
        yield buffer[place]
