"""What a Trainer is fed with: the splits as data sets that it takes, one example at a time or whole batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.datasets.streamed import StreamedData, StreamedExamples
from hfmix.data.kinds import KINDS, preprocessor_for
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.open import Split


@dataclass(frozen=True)
class TrainerDatasets:
    """Data sets, and what makes a batch of their examples.

    Attributes:
        train: changed at random.
        validation, test: as they are; None where there is none, or `test` was not asked for.
        collate: for all of them.
    """

    train: Dataset | IterableDataset
    validation: Dataset | None
    test: Dataset | None
    collate: Callable[[Any], dict[str, torch.Tensor]]


def datasets_for_trainer(
    splits: Mapping[Split, LabelledData | StreamedData],
    processor: Any,
    args: DataArguments,
    seed: int,
    device: torch.device | str = "cpu",
    channels_last: bool = False,
    with_test: bool = False,
    say: Callable[[str], None] | None = None,
) -> TrainerDatasets:
    """The splits as `args` say: read as they are needed, streamed, or in memory where they fit.

    Args:
        seed: of what changes the training examples.
        device: of data in memory.
        channels_last: the memory format of batches from memory.
        with_test: whether the test set is fed too.
        say: is told why data are not kept in memory that were to be; None for nobody.

    Raises:
        ValueError: as `transform_for` and `InMemoryExamples` do.
    """
    wanted = {name: splits.get(name) for name in ("validation", *(["test"] if with_test else []))}
    if args.data_in_memory:
        settings = {"device": device, "channels_last": channels_last, "progress": say is not None}
        try:
            return TrainerDatasets(
                InMemoryExamples(splits["train"], processor, args, seed, **settings),
                *_validation_and_test(wanted, lambda data: InMemoryExamples(data, processor, **settings)),
                InMemoryExamples.collate,
            )
        except MemoryError as error:
            if say is not None:
                say(f"data_in_memory: {error}: reading them as they are needed")
    return TrainerDatasets(
        _training_examples(splits["train"], processor, args, seed),
        *_validation_and_test(wanted, lambda data: Examples(data, transform_for(data, processor))),
        preprocessor_for(splits["train"].kind, processor).collate,
    )


def _validation_and_test(
    wanted: Mapping[str, LabelledData | None], examples_of: Callable[[LabelledData], Dataset]
) -> tuple[Dataset | None, Dataset | None]:
    found = {name: examples_of(data) for name, data in wanted.items() if data is not None}
    return found.get("validation"), found.get("test")


def _training_examples(
    train: LabelledData | StreamedData, processor: Any, args: DataArguments, seed: int
) -> Examples | StreamedExamples:
    transform = transform_for(train, processor, args)
    if isinstance(train, StreamedData):
        return StreamedExamples(train, transform, seed, args.shuffle_buffer)
    return Examples(train, transform, None if KINDS[train.kind].is_constant else seed)
