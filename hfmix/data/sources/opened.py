"""An opened source: its splits, where each came from, and what was left out or guessed on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from datasets import Dataset, IterableDataset

from hfmix.utils.text import listed, printable


@dataclass(frozen=True)
class LeftOut:
    """Files of a source that are in none of its splits, for one reason.

    Attributes:
        reason: such as "hidden, since the name begins with a dot" or ".heic needs hfmix[heic]".
        items: the files' paths within the source.
    """

    reason: str
    items: tuple[str, ...]

    def text(self) -> str:
        """Returns one line: how many files, why, and the first of them."""
        return f"{files_for(len(self.items), self.reason)}: {printable(listed(self.items, 3))}"


def files_for(count: int, reason: str) -> str:
    """Returns how many files are left out, and why."""
    return f"{count:,} file{'' if count == 1 else 's'}, {reason}"


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
