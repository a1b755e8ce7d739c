"""The structure of a folder of images or sound: which folders are splits, which are classes, which lie below them.

Pure functions of the folders' names and of how many files lie in each.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from unicodedata import normalize

from hfmix.data.sources.split_words import Split, splits_of_folders
from hfmix.data.sources.walk import Parts
from hfmix.utils.text import listed

ClassFolder = Literal["top", "deepest"]

# "fold3" or "day 1" divide a data set; "stage2" or "grade1" can well be classes
_DIVIDING = re.compile(r"(fold|part|batch|shard|chunk|day|week|session|take)[\s_-]*\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Structure:
    """The places of a folder's files.

    Attributes:
        split: the split of each folder that holds files.
        class_parts: the folder of the class to which the files of a folder belong; folders of files without a
            class have no entry.
        outside: why the files of a folder belong to no split or class, by folder.
        origins: where each split comes from, in words.
        notes: what was decided, where a name could mean two things.
    """

    split: Mapping[Parts, Split]
    class_parts: Mapping[Parts, Parts]
    outside: Mapping[Parts, str] = field(default_factory=dict)
    origins: Mapping[Split, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_structure(
    counts: Mapping[Parts, int], class_folder: ClassFolder | None = None, labelled: bool = True
) -> Structure:
    """Finds splits and classes in the names of folders.

    Args:
        counts: the number of files of each folder that holds any.
        class_folder: whether the class of a file is the top or the deepest of the folders that are no splits;
            None refuses to choose where both make sense.
        labelled: whether classes are needed. Without them, only splits are found.

    Raises:
        ValueError: the files lie in no class folders, or in those of one class; or two readings make sense: the
            message names both, and what chooses between them.
    """
    reader = _Reader(counts, class_folder, labelled)
    reader.read_splits()
    classes = reader.read_classes() if labelled else {}
    splits = {folder: reader.splits.get(folder, "train") for folder in counts if folder not in reader.outside}
    return Structure(splits, classes, reader.outside, reader.origins(), tuple(reader.notes))


class _Reader:
    """A reading in progress: how much of each folder's path is explained, from the root down."""

    def __init__(self, counts: Mapping[Parts, int], class_folder: ClassFolder | None, labelled: bool) -> None:
        self.counts = counts
        self.class_folder = class_folder
        self.labelled = labelled
        self.rest: dict[Parts, list[int]] = {folder: list(range(len(folder))) for folder in counts}
        self.splits: dict[Parts, Split] = {}
        self.split_folders: dict[Split, set[str]] = defaultdict(set)
        self.outside: dict[Parts, str] = {}
        self.notes: list[str] = []

    def names(self, level: int = 0) -> set[str]:
        """Returns the names at a level of what is not explained yet."""
        return {folder[rest[level]] for folder, rest in self.rest.items() if len(rest) > level}

    def below(self, name: str) -> list[Parts]:
        """Returns the folders whose rest begins with a name."""
        return [folder for folder, rest in self.rest.items() if rest and folder[rest[0]] == name]

    def read_splits(self) -> None:
        """Explains folders around all others, and folders of splits."""
        while self.rest and (names := self.names()):
            words = splits_of_folders(names)
            if not words and not self._is_wrapper(names):
                break
            if words and not self._take_splits(names, words):
                break
            if not words:
                self.notes.append(f"the classes are looked for in the folder {min(names)}, which holds all others")
            for rest in self.rest.values():
                del rest[:1]
        if not self.splits:
            self._splits_below_classes()
        for split, folders in self.split_folders.items():
            if len(folders) > 1:
                raise ValueError(
                    f"the folders {_listed(folders)} would both be the {split} set: rename or move one of them"
                )

    def origins(self) -> dict[Split, str]:
        """Returns where the splits come from, in words."""
        return {split: f"the folder {min(folders)}" for split, folders in self.split_folders.items()}

    def read_classes(self) -> dict[Parts, Parts]:
        """Returns the class folder of each folder that has one.

        Raises:
            ValueError: see `read_structure`.
        """
        rest = {folder: positions for folder, positions in self.rest.items() if positions}
        without = {folder: self.counts[folder] for folder in self.rest if folder not in rest}
        if (direct := sum(without.values())) > (within := sum(self.counts[folder] for folder in rest)):
            where = _listed({"/".join(folder) or "the folder itself" for folder in without})
            beside = f", and {within} in class folders" if within else ""
            raise ValueError(
                f"{direct} {'files lie' if direct > 1 else 'file lies'} directly in {where}{beside}: make one "
                f"subfolder per class, or a table of paths and labels (metadata.csv)"
            )
        for folder in without:
            self.outside[folder] = f"directly in {'/'.join(folder) or 'the folder'}, in no class folder"
        at = self._class_level(rest)
        classes = {folder: folder[: positions[at] + 1] for folder, positions in rest.items()}
        spelled: dict[tuple[Parts, str], set[str]] = defaultdict(set)
        for parts in classes.values():
            spelled[parts[:-1], class_name(parts)].add(parts[-1])
        for (parent, name), spellings in spelled.items():
            if len(spellings) > 1:
                raise ValueError(
                    f"two folders in {'/'.join(parent) or 'the folder'} are called {name}, with accents encoded "
                    f"in two ways (NFC and NFD): merge them into one"
                )
        self._leave_unlabelled(classes)
        names = {class_name(parts) for parts in classes.values()}
        if self.class_folder is None and _all(_DIVIDING.fullmatch, names):
            raise ValueError(
                f"the folders {_listed(names)} seem to divide the data and to be no classes: make one subfolder "
                f"per class or a table of paths and labels (metadata.csv), or set class_folder to top if they are"
            )
        if len(names) == 1:
            raise ValueError(f"there is only one class, {min(names)}: a classifier needs two or more subfolders")
        return classes

    def _leave_unlabelled(self, classes: dict[Parts, Parts]) -> None:
        """Removes a split whose files all lie in one folder, no class of the training set's ("val/images")."""
        folders: dict[Split, set[Parts]] = defaultdict(set)
        for folder, parts in classes.items():
            folders[self.splits.get(folder, "train")].add(parts)
        known = {class_name(parts) for parts in folders.pop("train", ())}
        for split, (first, *others) in folders.items():
            if known and not others and class_name(first) not in known:
                for folder in [folder for folder, parts in classes.items() if parts == first]:
                    self.outside[folder] = f"directly in {'/'.join(first)}, which is no class of the training set"
                    del classes[folder]
                self.split_folders.pop(split)

    def _is_wrapper(self, names: Collection[str]) -> bool:
        """Tells whether all files lie below one folder that is no class itself."""
        deeper = self.names(1)
        if len(names) > 1 or any(len(rest) < 2 for rest in self.rest.values()):
            return False
        if not self.labelled:
            return True
        if _all(_DIVIDING.fullmatch, deeper):
            return False
        return self.class_folder != "top" or any(len(rest) > 2 for rest in self.rest.values())

    def _take_splits(self, names: Collection[str], words: Mapping[str, Split]) -> bool:
        """Takes the folders at this level as splits, or returns False if they are classes."""
        has_folders = {name: any(len(self.rest[folder]) > 1 for folder in self.below(name)) for name in words}
        others = sorted(set(names) - set(words))
        if others and not any(has_folders.values()):
            self.notes.append(f"{_listed(words)}: read as a class, not as a split, like {_listed(others)} beside")
            return False
        if others and len({words[name] for name in words if has_folders[name]}) < 2:
            (name, *_) = (name for name in words if has_folders[name])
            raise ValueError(
                f"the folder {name} can be a split, with classes in it, or a class beside {_listed(others)}: "
                f"rename it, or move the others elsewhere"
            )
        for folder, rest in list(self.rest.items()):
            name = folder[rest[0]] if rest else None
            split = words.get(name)
            if split is None:
                self.outside[folder] = f"beside the folders {_listed(words)}, in no split"
                del self.rest[folder]
            elif self.splits.setdefault(folder, split) != split:
                raise ValueError(
                    f"the folder {'/'.join(folder)} names two splits, {self.splits[folder]} and {split}: "
                    f"rename one"
                )
            else:
                self.split_folders[split].add("/".join(folder[: rest[0] + 1]))
        for split, folders in self.split_folders.items():  # seg_train/seg_train is one
            self.split_folders[split] = {
                one for one in folders if not any(other.startswith(f"{one}/") for other in folders)
            }
        return True

    def _splits_below_classes(self) -> None:
        """Takes the folders at one level below the classes as splits, if all of them name one."""
        for level in range(1, max(map(len, self.rest.values()), default=0)):
            words = splits_of_folders(self.names(level))
            if not words:
                continue
            without = [
                folder
                for folder, rest in self.rest.items()
                if len(rest) <= level or folder[rest[level]] not in words
            ]
            if without:
                named = next(folder for folder in self.rest if folder not in without)
                raise ValueError(
                    f"the folder {'/'.join(named)} names a split and "
                    f"{'/'.join(without[0]) or 'the folder itself'} none: give each class the same splits"
                )
            for folder, rest in self.rest.items():
                self.splits[folder] = words[folder[rest[level]]]
                self.split_folders[self.splits[folder]].add(folder[rest[level]])
                del rest[level]
            self.notes.append(f"the folders {_listed(words)} within each class are its splits")
            return

    def _class_level(self, rest: Mapping[Parts, list[int]]) -> int:
        """Returns which of the remaining folders is the class: 0, the top one, or -1, the deepest."""
        if all(len(positions) == 1 for positions in rest.values()):
            return 0
        if self.class_folder is not None:
            return 0 if self.class_folder == "top" else -1
        tops = {folder[positions[0]] for folder, positions in rest.items()}
        deepest = {folder[positions[-1]] for folder, positions in rest.items()}
        with_files = {folder[positions[0]] for folder, positions in rest.items() if len(positions) == 1}
        if with_files == tops or len(deepest) == 1:
            self.notes.append(f"the folders below {_listed(tops)} belong to these classes")
            return 0
        of_tops, of_deepest = (_all(_DIVIDING.fullmatch, names) for names in (tops, deepest))
        if of_deepest and not of_tops:
            self.notes.append(f"the folders {_listed(deepest)} divide the classes {_listed(tops)}")
            return 0
        if of_tops and not any(map(_DIVIDING.fullmatch, deepest)):
            self.notes.append(f"the folders {_listed(tops)} divide the data; the classes are {_listed(deepest)}")
            return -1
        raise ValueError(
            f"the classes can be the top folders ({_listed(tops)}) or the deepest ones ({_listed(deepest)}): set "
            f"class_folder to top or deepest"
        )


def class_name(parts: Parts) -> str:
    """Returns the name of the class of a folder; accents are composed, so that it is the same on every system."""
    return normalize("NFC", parts[-1])


def _all(predicate: Callable[[str], object], names: Iterable[str]) -> bool:
    return all(map(predicate, names))


def _listed(names: Iterable[str]) -> str:
    return listed(sorted(names), 4)
