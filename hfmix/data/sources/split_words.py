"""Words that name a split, in the names of folders and of files of rows."""

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import PurePath
from typing import Literal

Split = Literal["train", "validation", "test"]

_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
# words that may stand beside one of those in a folder's name: "test_images" is a split, "test_tubes" a class
_FILLERS = frozenset(
    [
        *("audio", "clips", "data", "dataset", "files", "folder", "image", "images", "img", "imgs", "photos"),
        *("pictures", "set", "sound", "split", "the", "wav"),
    ]
)


def splits_of_folders(names: Collection[str]) -> dict[str, Split]:
    """Returns the split of each folder whose name names one; the folders lie beside each other.

    A name is a split's word alone, whatever its case, or with a word such as "set" or "images" ("test_images"); or
    several differ in that word alone ("seg_train", "seg_test").
    """
    splits: dict[str, Split] = {}
    groups: dict[tuple[str, ...], dict[str, Split]] = defaultdict(dict)
    for name in names:
        words = _words(name)
        named = [word for word in words if word in _WORDS]
        if len(named) != 1:
            continue
        others = tuple(word for word in words if word not in _WORDS)
        if set(others) <= _FILLERS:
            splits[name] = _WORDS[named[0]]
        else:
            groups[others][name] = _WORDS[named[0]]
    for group in groups.values():
        if len(set(group.values())) > 1:
            splits |= group
    return splits


def split_of(file: PurePath) -> Split | None:
    """Returns the split that a file of rows names: in its own name, or else in that of a folder on its way.

    In the file's name, a split's word comes first or last: "train-00000-of-00002", "data_test";
    "blood_test_values" and "latest" name none.

    Raises:
        ValueError: the name begins with one split and ends with another.
    """
    words = _words(file.stem)
    ends = {_WORDS[word] for word in (*words[:1], *words[-1:]) if word in _WORDS}
    if len(ends) > 1:
        raise ValueError(
            f"{file.name} names two splits, {' and '.join(sorted(ends))}: rename it, or give it by train_file or "
            f"test_file"
        )
    for split in ends:
        return split
    for folder in reversed(file.parts[:-1]):
        for split in splits_of_folders([folder]).values():
            return split
    return None


def split_of_value(value: object) -> Split | None:
    """Returns the split that a cell such as "Train" or "val" names as a whole."""
    return _WORDS.get(str(value).strip().lower())


def _words(name: str) -> list[str]:
    """Returns the words of a name in lower case, without numbers."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [
        word for part in re.split(r"[\W_]+", apart.lower()) if (word := re.sub(r"\d+", "", part)) not in ("", "of")
    ]
