"""Opens a data set: a Hub id, a folder, Parquet files, or what comes with a dependency."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, Value, load_dataset
from huggingface_hub import constants
from PIL import Image as PILImage
from pyarrow import ArrowInvalid
from pyarrow.parquet import read_metadata

from hfmix.arguments import DataArguments
from hfmix.data.embedded import EMBEDDED
from hfmix.hub.connection import hub_error, hub_reachable, no_connection

Split = Literal["train", "validation", "test"]

SOUND_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus"}
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def open_dataset(source: str, config: str | None = None) -> DatasetDict:
    """All splits of `source`: an embedded data set's name, a folder, a Parquet file or a Hub id.

    Raises:
        ValueError: there is nothing under that name, or nothing in the folder.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    path = Path(source)
    if source in EMBEDDED:
        return EMBEDDED[source]()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return DatasetDict({"test": _parquet([source])})
    near = get_close_matches(source, EMBEDDED, n=1)
    if near or not _HUB_ID.fullmatch(source):
        hint = f"did you mean {near[0]!r}?" if near else "there is no such file or folder"
        raise ValueError(f"no data set {source!r}: {hint}")
    what = f"data set {source!r}"
    if not hub_reachable() and not constants.HF_HUB_OFFLINE:  # offline on purpose: what is cached will do
        raise no_connection(what)
    try:
        return _load(source, config)
    except (OSError, ValueError) as error:
        raise hub_error(error, what) from error


def _load(source: str, config: str | None) -> DatasetDict:
    """A data set of the Hub; one that is still a script through the Hub's own copy in Parquet: no code is run."""
    try:
        return load_dataset(source, config)
    except ImportError as error:  # from torchcodec, for loose files of sound
        raise ValueError(f"reading it takes a package that is not here: {error}") from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
    return load_dataset(source, config, revision="refs/convert/parquet")


def open_files(args: DataArguments) -> DatasetDict:
    """The splits of `train_file`, `validation_file` and `test_file`."""
    files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
    return DatasetDict({split: _parquet(names) for split, names in files.items() if names})


def _folder(path: Path) -> DatasetDict:
    parquet = sorted(path.rglob("*.parquet"))
    if parquet:
        splits: dict[str, list[str]] = {}
        for file in parquet:
            splits.setdefault(split_of(file.relative_to(path)), []).append(str(file))
        return DatasetDict({split: _parquet(files) for split, files in splits.items()})
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    if any(file.suffix.lower() in PILImage.registered_extensions() for file in files):
        return load_dataset("imagefolder", data_dir=str(path))
    if clips := [file for file in files if file.suffix.lower() in SOUND_SUFFIXES]:
        return _sound_folder(path, clips)
    raise ValueError(f"no images, no sound and no Parquet files in the folder {str(path)!r}")


def _sound_folder(path: Path, clips: Sequence[Path]) -> DatasetDict:
    """What `load_dataset("audiofolder")` gives; that needs torchcodec and FFmpeg even where nothing is decoded."""
    splits: dict[Split, list[Path]] = {}
    for file in clips:
        *above, class_name, _ = ("", *file.relative_to(path).parts)
        if not class_name or (len(above) == 1 and class_name in get_args(Split)):
            raise ValueError(f"{file} is in no subfolder of its class: sort the clips into one subfolder a class")
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
    """The split that a file's name, or else a folder's, says in a word of its own; "train" where none does."""
    for part in reversed(file.parts):
        words = re.split(r"[^a-z]+", part.lower())
        for word, split in {
            "train": "train",
            "test": "test",
            "validation": "validation",
            "val": "validation",
        }.items():
            if word in words:
                return split
    return "train"


def _parquet(files: Sequence[str]) -> Dataset:
    rows = 0
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"no file {file!r}")
        try:
            rows += read_metadata(file).num_rows
        except ArrowInvalid as error:
            raise ValueError(f"{file} is not a Parquet file: {error}") from error
    if not rows:
        raise ValueError(f"no rows in {', '.join(files)}")
    return load_dataset("parquet", data_files=[str(file) for file in files], split="train")
