"""A folder of images or sound as splits, with a subfolder for each class."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from hfmix.data.kind_words import KIND_WORDS
from hfmix.data.sources.files_as_rows import files_as_rows
from hfmix.data.sources.opened import LeftOut, Opened
from hfmix.data.sources.split_words import Split
from hfmix.data.sources.structure import ClassFolder, Structure, class_name, read_structure
from hfmix.data.sources.suffixes import suffix_of, why_left_out
from hfmix.data.sources.walk import Parts, Walked

SPLITS: Sequence[Split] = ("train", "validation", "test")


@dataclass(frozen=True)
class MediaFiles:
    """The files of one kind in a folder.

    Attributes:
        walked: the whole folder.
        kind: "image" or "audio".
        names: the files' names by folder; folders without any are not there.
    """

    walked: Walked
    kind: str
    names: Mapping[Parts, Sequence[str]]

    def __len__(self) -> int:
        return sum(map(len, self.names.values()))

    def structure(self, class_folder: ClassFolder | None, labelled: bool) -> Structure:
        """Returns the places of the files, where no class would be lost.

        Raises:
            ValueError: see `read_structure`; or a class folder holds no file of this kind.
        """
        counts = {folder: len(names) for folder, names in self.names.items()}
        structure = read_structure(counts, class_folder, labelled)
        self._check_classes(structure)
        return structure

    def left_out(self, reasons: Mapping[Parts, str], read: Collection[str] = ()) -> tuple[LeftOut, ...]:
        """Returns the files of other kinds, by suffix, and those of this kind in folders with a reason.

        Args:
            reasons: why the files of a folder are left out.
            read: the paths, within the folder, of files of other kinds that were read, such as lists.
        """
        items: dict[str, list[str]] = defaultdict(list)
        for folder in self.walked.names:
            own = set(self.names.get(folder, ()))
            for name in self.walked.names[folder]:
                if name not in own:
                    if "/".join((*folder, name)) in read:
                        continue
                    items[why_left_out(suffix_of(name), self.kind)].append("/".join((*folder, name)))
                elif folder in reasons:
                    items[reasons[folder]].append("/".join((*folder, name)))
        return tuple(LeftOut(reason, tuple(paths)) for reason, paths in items.items())

    def _check_classes(self, structure: Structure) -> None:
        """Raises a ValueError if a folder beside the class folders holds no file of this kind."""
        classes = set(structure.class_parts.values())
        parents = {parts[:-1] for parts in classes}
        known = {parts[:depth] for parts in (*classes, *structure.outside) for depth in range(len(parts) + 1)}
        for folder in self.walked.names:
            if folder and folder[:-1] in parents and folder not in known:
                what = KIND_WORDS[self.kind].plural
                raise ValueError(
                    f"the class folder {'/'.join(folder)} holds no {what} that can be read: "
                    f"{self._contents(folder)}; put some there, or remove it, or move it elsewhere"
                )

    def _contents(self, folder: Parts) -> str:
        suffixes = Counter(
            suffix_of(name)
            for other, names in self.walked.names.items()
            if other[: len(folder)] == folder
            for name in names
        )
        if not suffixes:
            reasons = [
                left.reason for left in self.walked.left_out for item in left.items if item == "/".join(folder)
            ]
            return reasons[0] if reasons else "it is empty"
        return ", ".join(
            f"{count} × {why_left_out(suffix, self.kind)}" for suffix, count in suffixes.most_common(3)
        )


def media_splits(files: MediaFiles, structure: Structure) -> Opened:
    """Makes a data set of each split, without classes if the structure has none.

    Rows are sorted by class name and then by path. The classes of the training set are its own, since it can learn
    no others; the other splits have the training set's, and their own if they have further ones.
    """
    rows: dict[Split, list[tuple[str, str, str]]] = defaultdict(list)
    for folder, split in structure.split.items():
        parts = structure.class_parts.get(folder)
        name = class_name(parts) if parts else ""
        inner, outer = "/".join((*folder, "")), files.walked.path(folder, "")
        rows[split] += [(name, f"{inner}{file}", f"{outer}/{file}") for file in files.names[folder]]
    of_split = {split: sorted(rows[split]) for split in SPLITS if split in rows}
    class_names = {split: sorted({name for name, _, _ in found}) for split, found in of_split.items()}
    notes = list(structure.notes)
    for split in of_split.keys() & class_names.keys():
        if "train" in class_names and split != "train":
            if missing := sorted(set(class_names["train"]) - set(class_names[split])):
                notes.append(f"the {split} set has no example of {', '.join(missing[:5])}")
            class_names[split] = sorted({*class_names["train"], *class_names[split]})
        elif "train" not in class_names:
            class_names[split] = sorted(set().union(*class_names.values()))
    splits = {
        split: _split(files.kind, found, class_names[split], bool(structure.class_parts))
        for split, found in of_split.items()
    }
    left_out = (*files.walked.left_out, *files.left_out(structure.outside))
    return Opened(splits, structure.origins, left_out, tuple(notes))


def _split(kind: str, rows: Sequence[tuple[str, str, str]], class_names: Sequence[str], labelled: bool) -> Dataset:
    index = {name: i for i, name in enumerate(class_names)}
    labels = np.array([index[name] for name, _, _ in rows]) if labelled else None
    return files_as_rows(kind, [path for _, _, path in rows], labels, class_names)
