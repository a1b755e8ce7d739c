"""A local copy of a model repository: only a run's files, each checked against its hash."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from hfmix.run_folder import PICKLES, RUN_FILES, is_finished
from hfmix.utils.errors import one_line
from hfmix.utils.hub_connection import hub_error, hub_reachable, no_connection
from hfmix.utils.text import printable

# the files that a model is loaded from, as glob patterns
LOADED_FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "robustness.json",
)
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
_SHARD = re.compile(r"model-[\w.-]+\.safetensors")


def run_folder(name: str | Path, patterns: Sequence[str] = LOADED_FILES) -> Path:
    """Returns the folder of that name, or a `snapshot` of the repository, after `check_loadable`.

    Raises:
        ValueError, ConnectionError: see `snapshot` and `check_loadable`.
    """
    folder = Path(name)
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{str(name)!r} holds no config.json: it is not a finished run")
    elif str(name).partition("@")[0].count("/") > 1:
        raise ValueError(f"no folder {str(name)!r}")
    else:
        folder = snapshot(str(name), patterns)
    check_loadable(folder, str(name))
    return folder


def snapshot(name: str, patterns: Sequence[str] = LOADED_FILES) -> Path:
    """Downloads a repository's files that match into the client's cache, and checks each against its hash.

    The hashes come from the Hub's listing. If the Hub cannot be reached, the cache is used, whose files are named
    after their hashes. Pickles and hidden files are never downloaded.

    Args:
        name: "namespace/name", or "namespace/name@revision" with a branch, a tag or a commit.
        patterns: globs; a `*` matches within one folder.

    Returns:
        The cache's folder of that commit. It may hold files from earlier downloads, which were not checked.

    Raises:
        ValueError: there is no such repository or revision; it has no safetensors weights; one of its paths leads
            out of its folder; a file does not match its hash.
        ConnectionError: it is not in the cache, and the Hub cannot be reached or does not answer as it should.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import validate_repo_id

    repo_id, _, revision = name.partition("@")
    validate_repo_id(repo_id)
    if "@" in name and not revision:
        raise ValueError(f"{name!r} ends in @: put the name of a branch, a tag or a commit after it")
    what, revision = f"model {name!r}", revision or "main"
    failure: Exception = no_connection(what)
    if hub_reachable():
        try:
            commit, hashes = _listing(repo_id, revision)
        except HfHubHTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise hub_error(error, what) from error
            failure = ConnectionError(f"the Hub failed to give {what}: {printable(one_line(error))}")
        except (HTTPError, OfflineModeIsEnabled):
            pass
        else:
            return _downloaded(repo_id, revision, commit, hashes, patterns)
    return _cached(repo_id, revision, patterns, failure)


def pull(name: str, out: str | Path | None = None) -> Path:
    """Downloads a finished run from the Hub into a folder, all of it or nothing.

    A folder that already holds the same run stays as it is.

    Args:
        name: as for `snapshot`.
        out: the folder; None takes the repository's name, in the working folder.

    Returns:
        The folder.

    Raises:
        ValueError, ConnectionError: see `snapshot`; or the repository holds no finished run.
        FileExistsError: the folder holds something else.
    """
    target = Path(out) if out is not None else Path(name.partition("@")[0].rpartition("/")[2])
    source = snapshot(name, RUN_FILES)
    check_loadable(source, name)
    if not is_finished(source):
        raise ValueError(f"{name} is not a finished run of hfmix: it lacks README.md or robustness.json")
    paths = _selected((path.relative_to(source).as_posix() for path in source.rglob("*")), RUN_FILES)
    files = [path for path in paths if (source / path).is_file()]
    if target.exists() and _holds(target, source, files):
        return target
    _check_free(target)
    beside = target.resolve().parent / f".{target.resolve().name}.{os.getpid()}"
    beside.mkdir(parents=True)
    try:
        for path in files:
            (beside / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / path, beside / path)
            if _digest(beside / path, "sha256") != _digest(source / path, "sha256"):
                raise OSError(f"{beside / path} is not what was written: is the disk full, or failing?")
        _check_free(target)
        if target.is_dir():
            target.rmdir()
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def check_loadable(folder: Path, name: str) -> None:
    """Checks that a folder's model needs no code of its own and has its weights as safetensors.

    Raises:
        ValueError: a config is not a JSON object or has an `auto_map`; there are no weights, or pickles only; a
            shard is missing or lies elsewhere.
    """
    for file in _CONFIGS:
        if (folder / file).is_file() and _has_auto_map(_read_object(folder / file, name)):
            raise ValueError(
                f"{name} needs code of its own (auto_map in {file}), and code from the Hub is never run"
            )
    _check_weights([path.name for path in folder.iterdir()], name)
    if (folder / "model.safetensors").is_file():
        return
    shards = _read_object(folder / "model.safetensors.index.json", name).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ValueError(f"model.safetensors.index.json of {name} does not say which files hold the weights")
    for shard in sorted({str(shard) for shard in shards.values()}):
        if not _SHARD.fullmatch(shard):
            raise ValueError(
                f"model.safetensors.index.json of {name} names {shard!r}, which is not a file of weights"
            )
        if not (folder / shard).is_file():
            raise ValueError(f"{shard} of {name} is missing, and holds weights")


def _listing(repo_id: str, revision: str) -> tuple[str, dict[str, str]]:
    """Returns the commit, and the hash of each of its files by path."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(library_name="hfmix")
    commit = api.model_info(repo_id, revision=revision).sha
    entries = api.list_repo_tree(repo_id, recursive=True, revision=commit)
    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return commit, {file.path: file.blob_id if file.lfs is None else file.lfs.sha256 for file in files}


def _downloaded(
    repo_id: str, revision: str, commit: str, hashes: Mapping[str, str], patterns: Sequence[str]
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    for path in hashes:
        _check_path(path, repo_id)
    if "config.json" not in hashes:
        raise ValueError(f"{repo_id} holds no config.json: it is not a model that can be loaded")
    _check_weights(list(hashes), repo_id)
    wanted = _selected(hashes, patterns)
    try:
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,  # not the commit, so that the cache knows the branch without a network
                allow_patterns=[escape(path) for path in wanted],
                library_name="hfmix",
            )
        )
    except (HTTPError, OSError) as error:
        raise ConnectionError(
            f"{repo_id} could not be downloaded completely: {printable(one_line(error))}"
        ) from error
    if folder.name != commit:
        raise ValueError(f"{repo_id} changed while it was read: try again")
    for path in wanted:
        _check_hash(folder / path, hashes[path], repo_id)
    return folder


def _cached(repo_id: str, revision: str, patterns: Sequence[str], failure: Exception) -> Path:
    """Returns the cache's folder of a revision, its files checked; raises `failure` if it is not cached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    # the client's * matches across folders
    hidden = ["*/*/*", ".*", "*/.*", *(f"*{suffix}" for suffix in PICKLES)]
    try:
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                local_files_only=True,
                allow_patterns=list(patterns),
                ignore_patterns=hidden,
            )
        )
    except LocalEntryNotFoundError as error:
        if getattr(error, "snapshot_path", None):
            raise ConnectionError(f"{failure} (the cache holds only a part of {repo_id})") from error
        raise failure from error
    for path in _selected((path.relative_to(folder).as_posix() for path in folder.rglob("*")), patterns):
        file = folder / path
        if file.is_symlink():
            _check_hash(file, file.readlink().name, repo_id)
        elif file.is_file():
            raise ValueError(f"{file} is not a link to a file of the cache: only the Hub knows its hash")
    return folder


def _selected(paths: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Returns the paths that match a pattern, sorted, without pickles and hidden files."""
    return sorted(
        path
        for path in paths
        if any(fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in patterns)
        and PurePosixPath(path).suffix.lower() not in PICKLES
        and not PurePosixPath(path).name.startswith(".")
    )


def _check_path(path: str, repo_id: str) -> None:
    parts = path.split("/")
    if "\\" in path or re.match("[A-Za-z]:", path) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{repo_id} lists a file {path!r}, which leads out of its folder: nothing was loaded")


def _check_weights(paths: Sequence[str], name: str) -> None:
    if "model.safetensors" in paths or "model.safetensors.index.json" in paths:
        return
    pickles = [path for path in sorted(paths) if PurePosixPath(path).suffix.lower() in PICKLES]
    if pickles:
        raise ValueError(
            f"{name} holds its weights as a pickle ({pickles[0]!r}), which is never read: it can run code"
        )
    raise ValueError(f"{name} holds no weights: there is no model.safetensors")


def _check_hash(file: Path, expected: str, repo_id: str) -> None:
    """Compares a file with git's SHA-1 of a blob (40 digits), or the SHA-256 of a file in the storage (64).

    Raises:
        ValueError: the file differs, or `expected` is not a hash.
    """
    if not re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", expected):
        raise ValueError(
            f"{file.name} of {repo_id} comes with {expected!r} instead of a hash: it cannot be checked"
        )
    if _digest(file, "git" if len(expected) == 40 else "sha256") != expected:
        raise ValueError(
            f"{file.name} of {repo_id} is not the file that the Hub has: it was changed or cut short here "
            f"(delete {file.resolve()} and load again)"
        )


def _digest(file: Path, kind: str) -> str:
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % file.stat().st_size)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_object(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} of {name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} of {name} is not a JSON object")
    return content


def _has_auto_map(content: Any) -> bool:
    """Returns whether a config, or a part of it, names code of its own."""
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return (isinstance(content, dict) and bool(content.get("auto_map"))) or any(map(_has_auto_map, parts))


def _holds(target: Path, source: Path, files: Sequence[str]) -> bool:
    """Returns whether a folder holds this very run: these files, and no others that belong to a run."""
    if not target.is_dir():
        return False
    paths = (path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return _selected(paths, RUN_FILES) == list(files) and all(
        _digest(target / path, "sha256") == _digest(source / path, "sha256") for path in files
    )


def _check_free(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise FileExistsError(f"{target} exists and does not hold this run: choose another --out")
