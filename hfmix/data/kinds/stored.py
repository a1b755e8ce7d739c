"""Encoded files as columns store them: finding those with images or sound, and making them one type."""

from pathlib import PurePath
from typing import Any

import pyarrow as pa
from datasets import Audio, Dataset, Features, Image, IterableDataset, LargeList, List, Value

from hfmix.data.contents import kind_of_bytes
from hfmix.data.sources.suffixes import SUFFIXES, suffix_of

STORED = {"bytes": Value("binary"), "path": Value("string")}
_STRINGS = ("string", "large_string", "string_view")
_BINARIES = ("binary", "large_binary", "binary_view")


def is_file(feature: Any) -> bool:
    """Returns whether cells of this type can be encoded files: bytes, a path, or a record of both or one."""
    if isinstance(feature, dict):
        return bool(feature) and feature.keys() <= STORED.keys() and all(map(is_file, feature.values()))
    return isinstance(feature, Value) and feature.dtype in (*_STRINGS, *_BINARIES)


def content_kind(dataset: Dataset | IterableDataset, column: str, feature: Any) -> str | None:
    """Returns "image" or "audio" for a column that holds these by its type or by its first cells; else None."""
    if isinstance(feature, Image | Audio):
        return "image" if isinstance(feature, Image) else "audio"
    if isinstance(dataset, IterableDataset) or not is_file(feature):
        return None
    for cell in dataset.select_columns([column]).with_format(None)[:20][column]:
        cell = cell if isinstance(cell, dict) else {"bytes" if isinstance(cell, bytes) else "path": cell}
        if content := cell.get("bytes"):
            return kind_of_bytes(content)
        if path := cell.get("path"):
            return _kind_of_path(path)
    return None


def as_stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Converts a column of `is_file` to records of bytes and path, with null for what is not there."""
    return pa.chunked_array([_records(chunk) for chunk in column.chunks], type=_RECORD)


def with_stored(dataset: Dataset, column: str) -> Dataset:
    """Returns a data set of this column alone, which is one of `is_file`, as records of bytes and path."""
    table = dataset.select_columns([column]).with_format("arrow")[:]
    features = Features({column: STORED})
    return Dataset(pa.table({column: as_stored(table.column(column))}, schema=features.arrow_schema))


def described(feature: Any) -> str:
    """Returns what a column of this type holds, in words."""
    if isinstance(feature, dict):
        return f"records of {', '.join(feature)}"
    if isinstance(feature, List | LargeList):
        return f"lists of {described(feature.feature)}"
    if isinstance(feature, Value):
        if feature.dtype in _STRINGS:
            return "words"
        if feature.dtype in _BINARIES:
            return "bytes"
        if feature.dtype.startswith(("date", "time", "duration")):
            return "dates or times"
        return feature.dtype
    return type(feature).__name__


_RECORD = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def _records(chunk: pa.Array) -> pa.Array:
    """Converts bytes, paths or records of one or both to records of both."""
    if pa.types.is_struct(chunk.type):
        names = {field.name for field in chunk.type}
        parts = {name: chunk.field(name) for name in names}
        is_null = chunk.is_null()
    else:
        is_bytes = pa.types.is_binary(chunk.type) or pa.types.is_large_binary(chunk.type)
        is_bytes |= pa.types.is_binary_view(chunk.type)
        parts, is_null = {"bytes" if is_bytes else "path": chunk}, chunk.is_null()
    arrays = [
        parts[field.name].cast(field.type) if field.name in parts else pa.nulls(len(chunk), field.type)
        for field in _RECORD
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(_RECORD), mask=is_null)


def _kind_of_path(path: str) -> str | None:
    suffix = suffix_of(PurePath(path).name)
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes()), None)
