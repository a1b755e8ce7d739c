"""Opening of data sets: a Hub id, a folder, Parquet or CSV files, or an embedded data set."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import soundfile
from datasets import (
    Audio,
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    IterableDataset,
    IterableDatasetDict,
    Value,
    load_dataset,
)
from huggingface_hub import constants
from PIL import Image as PILImage
from pyarrow import ArrowInvalid
from pyarrow.parquet import read_metadata

from hfmix.data.arguments import DataArguments
from hfmix.data.sources.csv_files import is_csv, read_csv
from hfmix.data.sources.embedded import EMBEDDED
from hfmix.data.sources.opened import Opened
from hfmix.utils.hub_connection import hub_error, hub_reachable, no_connection

Split = Literal["train", "validation", "test"]

SOUND_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus"}
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def open_dataset(source: str, config: str | None = None, streaming: bool = False) -> Opened:
    """Opens all splits of `source`: an embedded data set's name, a folder, a Parquet or CSV file, or a Hub id.

    With `streaming`, the splits are read while they are iterated, and nothing is stored.

    Raises:
        ValueError: there is no such data set, or the folder holds no data.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    path = Path(source)
    if source in EMBEDDED:
        splits = EMBEDDED[source]()
        return Opened(_as_streams(splits) if streaming else splits)
    if path.is_dir():
        return Opened(_folder(path, streaming))
    if path.is_file():
        return Opened(_files({"test": [source]}, streaming))
    near = get_close_matches(source, EMBEDDED, n=1)
    if near or not _HUB_ID.fullmatch(source):
        hint = f"did you mean {near[0]!r}?" if near else "there is no such file or folder"
        raise ValueError(f"no data set {source!r}: {hint}")
    what = f"data set {source!r}"
    if not hub_reachable() and not constants.HF_HUB_OFFLINE:  # offline on purpose: the cache may hold it
        raise no_connection(what)
    try:
        return Opened(_load(source, config, streaming))
    except (OSError, ValueError) as error:
        raise hub_error(error, what) from error


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


def open_files(args: DataArguments, streaming: bool = False) -> Opened:
    """Opens the splits of `train_file`, `validation_file` and `test_file`."""
    files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
    return Opened(_files({split: names for split, names in files.items() if names}, streaming))


def _folder(path: Path, streaming: bool) -> DatasetDict | IterableDatasetDict:
    if parquet := sorted(path.rglob("*.parquet")):
        return _files(_by_split(path, parquet), streaming)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    if any(file.suffix.lower() in PILImage.registered_extensions() for file in files):
        return load_dataset("imagefolder", data_dir=str(path), streaming=streaming)
    if clips := [file for file in files if file.suffix.lower() in SOUND_SUFFIXES]:
        splits = _sound_folder(path, clips)
        return _as_streams(splits) if streaming else splits
    if tables := [file for file in files if file.suffix.lower() == ".csv"]:
        return _files(_by_split(path, tables), streaming)  # last, since a folder of images can have a metadata.csv
    raise ValueError(f"no images, no sound, no Parquet and no CSV files in the folder {str(path)!r}")


def _by_split(folder: Path, files: Sequence[Path]) -> dict[Split, list[str]]:
    splits: dict[Split, list[str]] = {}
    for file in files:
        splits.setdefault(split_of(file.relative_to(folder)), []).append(str(file))
    return splits


def _files(files: Mapping[Split, Sequence[str]], streaming: bool) -> DatasetDict | IterableDatasetDict:
    splits = DatasetDict({split: _rows(names, streaming) for split, names in files.items()})
    return IterableDatasetDict(splits) if streaming else splits


def _as_streams(splits: DatasetDict) -> IterableDatasetDict:
    return IterableDatasetDict(
        {name: split.to_iterable_dataset(num_shards=min(4, len(split))) for name, split in splits.items()}
    )


def _sound_folder(path: Path, clips: Sequence[Path]) -> DatasetDict:
    """Replaces `load_dataset("audiofolder")`, which needs torchcodec and FFmpeg even if nothing is decoded."""
    splits: dict[Split, list[Path]] = {}
    for file in clips:
        *above, class_name, _ = ("", *file.relative_to(path).parts)
        if not class_name or (len(above) == 1 and class_name in get_args(Split)):
            raise ValueError(f"{file} is not in a subfolder of its class: make one subfolder per class")
        splits.setdefault(split_of(Path(*above, "_")), []).append(file)
    class_names = sorted({file.parent.name for file in clips})
    stored = {"bytes": Value("binary"), "path": Value("string")}
    features = Features({"audio": stored, "label": ClassLabel(names=class_names)})
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {
                    "audio": [{"bytes": None, "path": str(file)} for file in files],
                    "label": [file.parent.name for file in files],
                },
                features=features,
            ).cast_column("audio", Audio(decode=False))
            for split, files in splits.items()
        }
    )


def split_of(file: Path) -> Split:
    """Returns the split that a word of the file's name, or else of a folder's, names; "train" if none does."""
    for part in reversed(file.parts):
        words = re.split(r"[^a-z]+", part.lower())
        for word, split in {
            "train": "train",
            "test": "test",
            "validation": "validation",
            "val": "validation",
            "valid": "validation",
        }.items():
            if word in words:
                return split
    return "train"


def _rows(files: Sequence[str], streaming: bool) -> Dataset | IterableDataset:
    """Reads Parquet files or CSV files into one split."""
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"no file {file!r}")
    are_csv = {is_csv(file) for file in files}
    if len(are_csv) == 2:
        raise ValueError(f"the files of a split must be all CSV or all Parquet, not {', '.join(files)}")
    if streaming and True in are_csv:
        raise ValueError(f"{files[0]} is a table, which is read as a whole: leave streaming out")
    return read_csv(files) if True in are_csv else _parquet(files, streaming)


def _parquet(files: Sequence[str], streaming: bool) -> Dataset | IterableDataset:
    rows = 0
    for file in files:
        try:
            rows += read_metadata(file).num_rows
        except ArrowInvalid as error:
            raise ValueError(f"{file} is not a Parquet file: {error}") from error
    if not rows:  # datasets cannot read such files
        raise ValueError(f"no rows in {', '.join(files)}")
    return load_dataset("parquet", data_files=[str(file) for file in files], split="train", streaming=streaming)
