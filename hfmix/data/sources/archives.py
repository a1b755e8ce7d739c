"""Archives: .zip and .tar files of a folder's layout, and shards of webdataset."""

import hashlib
import shutil
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import datasets
from datasets import load_dataset

from hfmix.data.sources.opened import Opened
from hfmix.data.sources.split_words import Split, split_of
from hfmix.data.sources.suffixes import ARCHIVES, image_suffixes, sound_suffixes, suffix_of
from hfmix.data.sources.walk import Parts, Walked

_MEMBERS = 64  # of a tar file, looked at to tell a shard of webdataset


def is_archive(file: str | Path) -> bool:
    """Returns whether a file's name says that it is an archive."""
    return suffix_of(Path(file).name) in ARCHIVES


def unpacked(file: Path) -> Path:
    """Returns a folder with what an archive holds, in the cache of `datasets`; unpacked again if the file changes.

    Raises:
        ValueError: the file is no archive, is encrypted, or would write outside its folder.
    """
    status = file.stat()
    key = f"{file.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    folder = Path(datasets.config.HF_DATASETS_CACHE, "hfmix", "unpacked", hashlib.sha256(key.encode()).hexdigest())
    if folder.is_dir():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(part)
        else:
            with tarfile.open(file) as archive:
                archive.extractall(part, filter="data")
    except (OSError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ValueError(f"{file} cannot be unpacked: {error}") from error
    part.rename(folder)
    return folder


def is_shard(file: Path) -> bool:
    """Returns whether a .tar file is a shard of webdataset: inputs beside files of the same stem with classes."""
    if suffix_of(file.name) != ".tar":
        return False
    media, labels = set(), set()
    try:
        with tarfile.open(file) as archive:
            for member, _ in zip(archive, range(_MEMBERS), strict=False):
                stem, _, suffix = member.name.partition(".")
                kinds = {".cls": labels, ".json": labels, ".txt": labels}
                if f".{suffix.lower()}" in image_suffixes() | sound_suffixes():
                    media.add(stem)
                kinds.get(f".{suffix.lower()}", set()).add(stem)
    except (OSError, tarfile.TarError):
        return False
    return bool(media & labels)


def open_shards(walked: Walked, archives: Mapping[Parts, Sequence[str]], streaming: bool) -> Opened:
    """Opens a folder that holds nothing but archives: the shards of a webdataset.

    Raises:
        ValueError: they are other archives.
    """
    files = [PurePath(*folder, name) for folder, names in sorted(archives.items()) for name in names]
    if odd := [file for file in files if not is_shard(Path(walked.root, file))]:
        raise ValueError(
            f"{walked.root!r} holds archives, such as {odd[0]}: unpack them there, or name one of them instead of "
            f"the folder"
        )
    splits: dict[Split, list[str]] = defaultdict(list)
    for file in files:
        splits[split_of(file) or "train"].append(str(Path(walked.root, file)))
    return webdataset(splits, streaming)


def webdataset(files: Mapping[Split, Sequence[str]], streaming: bool) -> Opened:
    """Reads shards of webdataset by split; the class, in files .cls, is called label.

    Raises:
        ValueError: the shards hold no class, or cannot be read.
    """
    splits = {}
    for split, names in files.items():
        try:
            rows = load_dataset("webdataset", data_files=list(names), split="train", streaming=streaming)
        except (OSError, ValueError, ImportError) as error:
            raise ValueError(f"{names[0]} cannot be read as a shard of webdataset: {error}") from error
        columns = rows.column_names or []
        splits[split] = rows.rename_column("cls", "label") if "cls" in columns and "label" not in columns else rows
    origins = {split: PurePath(names[0]).name for split, names in files.items()}
    return Opened(splits, origins, (), ("the classes are in the files .cls of the webdataset",))
