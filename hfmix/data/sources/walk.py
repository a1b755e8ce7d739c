"""The walk through a folder, for every kind of input: each folder below it, and the files in each."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hfmix.data.sources.opened import LeftOut
from hfmix.data.sources.suffixes import ARCHIVES, LISTS, SUFFIXES, suffix_of

Parts = tuple[str, ...]
"""A folder below the root, as the names on the way to it; the root is ()."""

# what systems and programs leave in folders: nobody's data
_JUNK = frozenset(
    {
        "__macosx",
        "__pycache__",
        "$recycle.bin",
        "@eadir",
        "cvs",
        "desktop.ini",
        "ehthumbs.db",
        "icon\r",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
_HIDDEN_JUNK = (
    ".ds_store",
    "._",
    ".ipynb_checkpoints",
    ".git",
    ".cache",
    ".directory",
    ".nomedia",
    ".trash",
    ".venv",
)


@dataclass(frozen=True)
class Walked:
    """The files of a folder, without hidden ones and those that systems leave behind.

    Attributes:
        root: the folder, as an absolute path.
        names: the files of each folder below it by its parts, both sorted; folders without files are there.
        left_out: what was not read, such as links that lead back.
    """

    root: str
    names: Mapping[Parts, tuple[str, ...]]
    left_out: tuple[LeftOut, ...] = ()

    def path(self, folder: Parts, name: str = "") -> str:
        """Returns the absolute path of a folder, or of a file in it."""
        return os.path.join(self.root, *folder, name) if name else os.path.join(self.root, *folder)  # noqa: PTH118

    def files(self) -> Iterator[tuple[Parts, str]]:
        """Yields folder and name of every file, in the order of their paths."""
        for folder, names in self.names.items():
            for name in names:
                yield folder, name

    def by_kind(self) -> dict[str, dict[Parts, list[str]]]:
        """Sorts the files by their suffix: "image", "audio", "list" (rows or paths), "archive" and "other".

        Returns:
            The files' names by kind and folder.
        """
        kind_of = dict.fromkeys(ARCHIVES, "archive") | dict.fromkeys(LISTS, "list")
        for kind, suffixes in SUFFIXES.items():
            kind_of |= dict.fromkeys(suffixes(), kind)
        kinds: dict[str, dict[Parts, list[str]]] = defaultdict(lambda: defaultdict(list))
        for folder, names in self.names.items():
            for name in names:
                kinds[kind_of.get(suffix_of(name), "other")][folder].append(name)
        return kinds


def walk(root: str | Path) -> Walked:
    """Walks through a folder and all below it.

    Hidden files and folders and those that systems leave behind are skipped. A link to a folder is followed
    unless that folder is read already, or holds the root, so that a circle of links ends.

    Raises:
        OSError: the folder itself cannot be read.
    """
    root = os.path.abspath(root)  # noqa: PTH100 - resolving links would change the paths that a user knows
    names: dict[Parts, tuple[str, ...]] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    pending: list[Parts] = [()]
    links: list[Parts] = []
    seen = {_identity(above) for above in Path(os.path.realpath(root)).parents}
    while pending or links:
        if not pending:  # links come last: what lies in the folder itself is read under its own name
            links.sort(reverse=True)
        folder = pending.pop() if pending else links.pop()
        path = os.path.join(root, *folder)  # noqa: PTH118
        try:
            if (identity := _identity(path)) in seen:
                left_out["a link to a folder that is read already, or holds this one"].append("/".join(folder))
                continue
            seen.add(identity)
            files, folders, linked = _entries(path, folder, left_out)
        except OSError as error:
            if not folder:
                raise
            left_out[f"cannot be read ({error.strerror})"].append("/".join(folder))
            files, folders, linked = [], [], []
        names[folder] = tuple(sorted(files))
        pending += [(*folder, name) for name in folders]
        links += [(*folder, name) for name in linked]
    in_order = dict(sorted(names.items()))
    return Walked(
        root, in_order, tuple(LeftOut(reason, tuple(sorted(items))) for reason, items in left_out.items())
    )


def count_suffixes(names: Mapping[Parts, list[str]] | Mapping[Parts, tuple[str, ...]]) -> Counter[str]:
    """Counts the files of several folders by their suffix."""
    return Counter(suffix_of(name) for of_folder in names.values() for name in of_folder)


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _entries(path: str, folder: Parts, left_out: dict[str, list[str]]) -> tuple[list[str], list[str], list[str]]:
    """Lists a folder: the names of its files, of its folders, and of its links to folders."""
    files: list[str] = []
    folders: list[str] = []
    linked: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == "." or name.lower() in _JUNK:
                if name[0] == "." and not name.lower().startswith(_HIDDEN_JUNK):
                    left_out["hidden, since the name begins with a dot"].append("/".join((*folder, name)))
            elif not name.isascii() and not _is_text(name):
                left_out["the name is not UTF-8: rename it"].append(ascii("/".join((*folder, name))))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif entry.is_file():
                files.append(name)
            elif entry.is_dir():
                linked.append(name)
            else:
                left_out["neither a file nor a folder, or a link to nothing"].append("/".join((*folder, name)))
    return files, folders, linked


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
