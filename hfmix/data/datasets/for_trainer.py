"""The data sets and the collate function for a Trainer, from a recipe's splits."""

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
    """A Trainer's data sets and their collate function.

    Attributes:
        train: the training examples, with augmentation.
        validation, test: without augmentation; None if there is no such split, or `test` is not requested.
        collate: the collate function for all of them.
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
    """Builds the data sets as `args` say: read as needed, streamed, or in memory if they fit.

    Args:
        splits: the data, by split.
        processor: the model's processor.
        args: the data options.
        seed: seed of the augmentation.
        device: where data in memory are kept.
        channels_last: memory format of batches from memory.
        with_test: whether to build the test set too.
        say: called with the reason if `data_in_memory` does not fit; None to say nothing.

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
    examples = {name: examples_of(data) for name, data in wanted.items() if data is not None}
    return examples.get("validation"), examples.get("test")


def _training_examples(
    train: LabelledData | StreamedData, processor: Any, args: DataArguments, seed: int
) -> Examples | StreamedExamples:
    transform = transform_for(train, processor, args)
    if isinstance(train, StreamedData):
        return StreamedExamples(train, transform, seed, args.shuffle_buffer)
    examples = Examples(train, transform, None if KINDS[train.kind].is_constant else seed)
    if train.kind == "audio":
        examples[0]  # here, so that its clips' rate is noticed once, and not by each worker in each epoch
    return examples
