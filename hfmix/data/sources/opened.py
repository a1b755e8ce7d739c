"""An opened source: its splits, where each came from, and what was left out or guessed on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from datasets import Dataset, IterableDataset


@dataclass(frozen=True)
class LeftOut:
    """Files or rows of a source that are in none of its splits, for one reason.

    Attributes:
        reason: completes "3 files left out: …", such as "cannot be read" or ".heic needs hfmix[heic]".
        items: the files' paths within the source, or the rows, such as "row 12".
    """

    reason: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Opened(Mapping[str, Dataset | IterableDataset]):
    """The splits of a source by name, with what a user should know of how it was read.

    Attributes:
        splits: the data sets by split.
        origins: where each split came from, in words, such as "the folder val" or "testing_list.txt"; a split of
            the source's own needs no entry.
        left_out: what is in no split.
        notes: what was guessed, skipped or changed, in one sentence each.
    """

    splits: Mapping[str, Dataset | IterableDataset]
    origins: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, split: str) -> Dataset | IterableDataset:
        return self.splits[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __len__(self) -> int:
        return len(self.splits)
