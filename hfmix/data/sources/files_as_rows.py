"""Data sets of files that stay where they are: one row a file, with its path and its class."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from datasets import Audio, ClassLabel, Dataset, DatasetInfo, Features, Image, IterableDataset

FEATURES: Mapping[str, Image | Audio] = {"image": Image(decode=False), "audio": Audio(decode=False)}
_SHARDS = 16


def file_cells(paths: Sequence[str | None]) -> pa.StructArray:
    """Returns cells ``{"bytes": None, "path": …}``; a path is never read as a pattern or as an address."""
    columns = [pa.nulls(len(paths), pa.binary()), pa.array(paths, pa.string())]
    return pa.StructArray.from_arrays(columns, names=["bytes", "path"])


def files_as_rows(
    kind: str, paths: Sequence[str], labels: np.ndarray | None, class_names: Sequence[str]
) -> Dataset:
    """Makes a data set with the columns ``image`` or ``audio`` and, with labels, ``label``.

    Args:
        kind: "image" or "audio".
        paths: (N,) absolute paths.
        labels: (N,) indices of `class_names`; None for data without classes.
        class_names: the class names, in the order of the indices.
    """
    columns: dict[str, pa.Array] = {kind: file_cells(paths)}
    features = {kind: FEATURES[kind]}
    if labels is not None:
        columns["label"] = pa.array(labels, pa.int64())
        features["label"] = ClassLabel(names=list(class_names))
    return Dataset(pa.table(columns), info=DatasetInfo(features=Features(features)))


def as_stream(dataset: Dataset, shards: int = _SHARDS) -> IterableDataset:
    """Returns the data set as a stream of up to this many shards, so that their order can be shuffled."""
    return dataset.to_iterable_dataset(num_shards=max(1, min(shards, len(dataset))))
