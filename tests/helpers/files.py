"""Folders of files by their paths, and what is read of them."""

from collections.abc import Iterable
from pathlib import Path

from hfmix.data.sources.opened import Opened


def put(root: Path, paths: Iterable[str]) -> Path:
    """Makes empty files, and empty folders for paths that end with a slash; their content is never looked at."""
    for path in paths:
        if path.endswith("/"):
            (root / path).mkdir(parents=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    return root


def two(*folders: str, suffix: str = "png") -> list[str]:
    """Two files in each folder."""
    return [f"{folder}/{i}.{suffix}" for folder in folders for i in range(2)]


def read(opened: Opened, root: Path) -> dict[str, list[tuple[str, str | None]]]:
    """The path within the folder and the class of each row, by split."""
    splits = {}
    for split, rows in opened.items():
        feature = rows.features.get("label")
        (kind,) = rows.features.keys() & {"image", "audio"}
        splits[split] = [
            (Path(row[kind]["path"]).relative_to(root).as_posix(), feature and feature.int2str(row["label"]))
            for row in rows
        ]
    return splits


def classes(opened: Opened) -> dict[str, dict[str, int]]:
    """The number of files of each class, by split."""
    counts = {}
    for split, rows in opened.items():
        names = rows.features["label"].names
        counts[split] = {name: rows["label"][:].count(i) for i, name in enumerate(names)}
    return counts


def left_out(opened: Opened) -> dict[str, tuple[str, ...]]:
    """The paths that were left out, by reason."""
    return {left.reason: left.items for left in opened.left_out}
