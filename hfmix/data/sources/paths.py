"""Paths that a user gives: which words are paths, and what lies near one that is not there."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from unicodedata import normalize

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def expanded(path: str) -> str:
    """Returns a path with ``~`` replaced by the home folder."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:  # no such user
        raise ValueError(f"no folder {path!r}: {error}") from error


def is_hub_id(source: str) -> bool:
    """Returns whether a word can be the name of something on the Hub."""
    return bool(_HUB_ID.fullmatch(source))


def looks_like_path(source: str) -> bool:
    """Returns whether a word that names nothing here is meant as a path: by its separators, or by its parent."""
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source or source.endswith("/"):
        return True
    return "/" in source and Path(source).parent.is_dir()


def nearest(path: str, names: Iterable[str] = ()) -> str:
    """Returns a hint for a path that is not there: the nearest name beside it, or among `names`."""
    if near := get_close_matches(path, names, n=1):
        return f"did you mean {near[0]!r}?"
    given = Path(expanded(path))
    missing, parent = given.name, given.parent
    while not parent.is_dir() and parent != parent.parent:
        missing, parent = parent.name, parent.parent
    hint = f"there is no {'such file or folder' if parent == given.parent else f'{missing!r} in {str(parent)!r}'}"
    try:
        beside = sorted(entry.name for entry in parent.iterdir())
    except OSError:
        return hint
    folded = {normalize("NFC", name).casefold(): name for name in beside}
    near = get_close_matches(normalize("NFC", missing).casefold(), folded, n=1)
    return f"{hint}; did you mean {str(parent / folded[near[0]])!r}?" if near else hint
