"""Files of rows, Parquet and CSV, as splits."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, IterableDataset, load_dataset
from pyarrow import ArrowInvalid

from hfmix.data.contents import content_of
from hfmix.data.sources.csv_files import read_csv
from hfmix.data.sources.files_as_rows import as_stream
from hfmix.data.sources.opened import LeftOut, Opened
from hfmix.data.sources.split_words import Split, split_of
from hfmix.data.sources.suffixes import ROWS, suffix_of
from hfmix.data.sources.walk import Walked
from hfmix.utils.text import listed

# characters that `datasets` reads as patterns or as parts of an address when they are in a path
_READ_OTHERWISE = set("*?[]{}:#%\\")


def row_splits(files: Mapping[Split, Sequence[str]], streaming: bool) -> dict[Split, Dataset | IterableDataset]:
    """Reads the files of each split, all Parquet or all CSV.

    Raises:
        ValueError: a file is missing, or is not what its name says; or there are no rows.
    """
    return {split: read_rows(names, streaming) for split, names in files.items()}


def rows_by_split(walked: Walked, files: Sequence[PurePath]) -> tuple[dict[Split, list[str]], Opened]:
    """Sorts files of rows by the split that they name; those that name none are the training set, if no other is.

    Args:
        walked: the folder in which they lie.
        files: their paths within it.

    Returns:
        The absolute paths by split; and origins and what is left out, without data sets.
    """
    named: dict[Split | None, list[PurePath]] = defaultdict(list)
    for file in files:
        named[split_of(file)].append(file)
    others, left_out = named.pop(None, []), ()
    if others and "train" in named:
        reason = f"names no split, as {named['train'][0]} does"
        left_out = (LeftOut(reason, tuple(map(str, others))),)
    elif others:
        named["train"] = others
    origins = {split: listed(names, 3) for split, names in named.items()}
    paths = {
        split: [str(Path(walked.root, name)) for name in sorted(named[split])]
        for split in ("train", "validation", "test")
        if split in named
    }
    return paths, Opened({}, origins, left_out)


def read_rows(files: Sequence[str], streaming: bool) -> Dataset | IterableDataset:
    """Reads Parquet files or CSV files into one split; see `row_splits`."""
    for file in files:
        check_content(file)
    is_parquet = {_is_parquet(file) for file in files}
    if len(is_parquet) == 2:
        raise ValueError(f"the files of a split must be all CSV or all Parquet, not {', '.join(files)}")
    if True in is_parquet:
        return _parquet(files, streaming)
    if streaming:
        raise ValueError(f"{files[0]} is a table, which is read as a whole: leave streaming out")
    return read_csv(files)


def check_content(file: str) -> None:
    """Raises a ValueError if a file of rows is missing or is not what its name says, such as a Git LFS pointer."""
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"no file {file!r}")
    what = content_of(path, "rows") if path.stat().st_size else None
    if what is not None:
        raise ValueError(f"{file} is not what its name says but {what}")
    if suffix_of(path.name) in ROWS - {".parquet"} and _is_parquet(file):
        raise ValueError(f"{file} is not what its name says but a Parquet file: rename it to {path.stem}.parquet")


def _is_parquet(file: str) -> bool:
    if suffix_of(Path(file).name) == ".parquet":
        return True
    with Path(file).open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _parquet(files: Sequence[str], streaming: bool) -> Dataset | IterableDataset:
    rows = 0
    for file in files:
        try:
            rows += pq.read_metadata(file).num_rows
        except ArrowInvalid as error:
            raise ValueError(f"{file} is not a Parquet file: {error}") from error
    if not rows:  # datasets cannot read such files
        raise ValueError(f"no rows in {', '.join(files)}")
    if any(_READ_OTHERWISE & set(file) for file in files):
        dataset = _in_memory(files)
        return as_stream(dataset) if streaming else dataset
    return load_dataset("parquet", data_files=[str(file) for file in files], split="train", streaming=streaming)


def _in_memory(files: Sequence[str]) -> Dataset:
    """Reads Parquet files whose paths `datasets` would take for patterns."""
    tables = []
    for file in files:
        with Path(file).open("rb") as stream:
            tables.append(pq.read_table(stream))
        if tables[-1].column_names != tables[0].column_names:
            raise ValueError(
                f"{file} has other columns than {files[0]}: all files of a split must have the same columns"
            )
    return Dataset(pa.concat_tables(tables, promote_options="permissive"))
