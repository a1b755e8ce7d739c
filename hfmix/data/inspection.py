"""The inspection of a recipe's data before anything is trained: what was understood, and which examples fail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.streamed import StreamedData, load_streams
from hfmix.data.examination import Examination, examine
from hfmix.data.kind_words import words_for
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.open import Split
from hfmix.data.splits import load_splits
from hfmix.data.summary import DataSummary, summarise

_SHOWN = 20  # messages printed before training; `hfmix inspect` prints all

Splits = Mapping[Split, LabelledData | StreamedData]


@dataclass(frozen=True, eq=False)
class Inspection:
    """The splits of a recipe's data, and what reading every example of them showed.

    Attributes:
        splits: as they were loaded, with examples that cannot be read.
        examinations: by split; not of a stream.
    """

    splits: Splits
    examinations: Mapping[str, Examination]

    @property
    def summary(self) -> DataSummary:
        """Returns what was understood of the data."""
        return summarise(self.splits, self.examinations)

    @property
    def unreadable(self) -> list[str]:
        """Returns the message on each example that cannot be used, all splits together."""
        return [text for part in self.examinations.values() for text in part.unreadable.values()]

    def with_shortest(self, seconds: float | None) -> "Inspection":
        """Returns the inspection with clips shorter than the model's window among what is unusable."""
        return replace(
            self,
            examinations={
                split: examination.with_shortest(self.splits[split], seconds)
                for split, examination in self.examinations.items()
            },
        )

    def readable(self, split: Split) -> LabelledData | StreamedData:
        """Returns a split without the examples that cannot be used."""
        examination = self.examinations.get(split)
        return self.splits[split] if examination is None else examination.usable(self.splits[split])

    def usable(
        self, skip_unreadable: bool, say: Callable[[str], None]
    ) -> dict[Split, LabelledData | StreamedData]:
        """Returns the splits to train and measure on.

        Args:
            skip_unreadable: leave out examples that cannot be used.
            say: is given the message on each such example, up to 20.

        Raises:
            ValueError: there are such examples and they are not to be left out, or they leave a class or a split
                without any.
        """
        bad = self.unreadable
        for text in bad[:_SHOWN]:
            say(f"  {text}")
        if len(bad) > _SHOWN:
            say(f"  and {len(bad) - _SHOWN} more: `hfmix inspect` lists them all")
        if bad and not skip_unreadable:
            counts = ", ".join(
                f"{len(part.unreadable)} of {len(self.splits[name]):,} in {name}"
                for name, part in self.examinations.items()
                if part.unreadable
            )
            examples = words_for(self.splits["train"].kind).examples
            examples = examples.removesuffix("s") if len(bad) == 1 else examples
            raise ValueError(
                f"{len(bad)} {examples} cannot be used ({counts}; listed above): mend or remove them, or set "
                f"skip_unreadable to leave them out"
            )
        readable = {split: self.readable(split) for split in self.splits}
        for split, data in readable.items():
            if isinstance(data, LabelledData):
                _check_classes(self.splits[split], data)
        return readable


def inspect_data(args: DataArguments, seed: int, progress: bool = True) -> Inspection:
    """Loads the data and reads every example once; see `examine`.

    Args:
        args: the options for the data.
        seed: draws the sample of `max_train_samples`.
        progress: show progress bars.

    Raises:
        ValueError, ConnectionError: as `load_splits` and `load_streams`.
    """
    splits: Splits = load_streams(args) if args.streaming else load_splits(args, seed)
    ordered = [name for name in ("train", "validation", "test") if isinstance(splits.get(name), LabelledData)]
    return Inspection(splits, {name: examine(splits[name], progress) for name in ordered})


def _check_classes(before: LabelledData, after: LabelledData) -> None:
    """Raises a ValueError if leaving examples out leaves a class without any."""
    if not len(after):
        raise ValueError(f"no example of the {before.name} set can be used")
    if before.is_multi_label:
        present, kept = before.labels.any(0), after.labels.any(0)
    else:
        size = len(before.class_names)
        present, kept = (np.bincount(data.labels, minlength=size) > 0 for data in (before, after))
    lost = [before.class_names[i] for i in np.flatnonzero(present & ~kept)]
    if lost:
        raise ValueError(
            f"no example of {', '.join(map(repr, lost[:5]))} in the {before.name} set can be used: a class must "
            f"not vanish, mend its files or remove it"
        )
