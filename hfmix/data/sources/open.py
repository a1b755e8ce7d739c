"""Opening of data sets: a Hub id, a folder, an archive, files of rows or of paths, or an embedded data set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from datasets import DatasetDict, IterableDataset, IterableDatasetDict, load_dataset
from huggingface_hub import constants

from hfmix.data.arguments import DataArguments
from hfmix.data.sources.archives import is_archive, is_shard, unpacked, webdataset
from hfmix.data.sources.embedded import EMBEDDED
from hfmix.data.sources.files_as_rows import as_stream
from hfmix.data.sources.folder import DEFAULT, Reading, open_folder, open_list
from hfmix.data.sources.opened import Opened
from hfmix.data.sources.paths import expanded, is_hub_id, looks_like_path, nearest
from hfmix.data.sources.rows import row_splits
from hfmix.data.sources.split_words import Split
from hfmix.utils.hub_connection import hub_error, hub_reachable, no_connection

__all__ = ["Reading", "Split", "open_dataset", "open_files"]
_EMBEDDED_SHARDS = 4


def open_dataset(
    source: str, config: str | None = None, streaming: bool = False, reading: Reading = DEFAULT
) -> Opened:
    """Opens all splits of `source`: an embedded data set's name, a folder, a file, or a Hub id.

    A file holds rows (Parquet or CSV), lists paths, or is an archive of a folder. With `streaming`, the splits are
    read while they are iterated, and nothing is stored.

    Raises:
        ValueError: there is no such data set, or the folder holds no data.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    if source in EMBEDDED:
        splits = EMBEDDED[source]()
        return Opened(_as_streams(splits) if streaming else splits)
    path = Path(expanded(source))
    if path.is_dir():
        return open_folder(path, reading, streaming)
    if path.is_file():
        return _open_file(path, reading, streaming)
    if get_close_matches(source, EMBEDDED, n=1) or looks_like_path(source) or not is_hub_id(source):
        raise ValueError(f"no data set {source!r}: {nearest(source, EMBEDDED)}")
    what = f"data set {source!r}"
    if not hub_reachable() and not constants.HF_HUB_OFFLINE:  # offline on purpose: the cache may hold it
        raise no_connection(what)
    try:
        return Opened(_load(source, config, streaming))
    except (OSError, ValueError) as error:
        raise hub_error(error, what) from error


def open_files(args: DataArguments, streaming: bool = False, reading: Reading = DEFAULT) -> Opened:
    """Opens the splits of `train_file`, `validation_file` and `test_file`: files of rows, or of paths and labels.

    Raises:
        ValueError: a file is missing, or is not what its name says; or a file that one lists is missing.
    """
    given = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
    files = {split: [expanded(name) for name in names] for split, names in given.items() if names}
    return _of_files(files, reading, streaming)


def _open_file(path: Path, reading: Reading, streaming: bool) -> Opened:
    if not is_archive(path):
        return _of_files({"test": [str(path)]}, reading, streaming)
    if is_shard(path):
        return webdataset({"train": [str(path)]}, streaming)
    opened = open_folder(unpacked(path), reading, streaming)
    return replace(opened, notes=(f"{path.name} is read from an unpacked copy in the cache", *opened.notes))


def _of_files(files: Mapping[Split, Sequence[str]], reading: Reading, streaming: bool) -> Opened:
    for names in files.values():
        for name in names:
            if not Path(name).is_file():
                raise ValueError(f"no file {name!r}: {nearest(name)}")
            if is_archive(name):
                raise ValueError(f"{name} is an archive, not a file of rows: give it by dataset_name")
    listed = open_list(files, reading, streaming)
    return listed if listed is not None else Opened(row_splits(files, streaming))


def _load(source: str, config: str | None, streaming: bool) -> DatasetDict | IterableDatasetDict:
    """Loads from the Hub; a data set that is a script from the Hub's Parquet copy, so that no code is run."""
    try:
        return load_dataset(source, config, streaming=streaming)
    except ImportError as error:  # torchcodec, needed for individual sound files
        raise ValueError(f"reading it needs a package that is not installed: {error}") from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
    return load_dataset(source, config, revision="refs/convert/parquet", streaming=streaming)


def _as_streams(splits: DatasetDict) -> dict[str, IterableDataset]:
    return {name: as_stream(split, _EMBEDDED_SHARDS) for name, split in splits.items()}
