"""Labelled images, sound or tables from the Hub, a folder, files or a dependency, for training and evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from sklearn.model_selection import train_test_split

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import USUAL, Columns, Resolved, read_cells, read_labels, resolve
from hfmix.data.labelled import LabelledData
from hfmix.data.sources.open import Split, open_dataset, open_files


def load_splits(args: DataArguments, seed: int) -> dict[Split, LabelledData]:
    """Training and test data, and validation data where there is some, all with the training set's classes.

    Without a test set, `test_fraction` of the training data is held out at random, and then
    `validation_fraction` of what is left, both drawn by `split_seed`. These parts, and what `max_eval_samples`
    and `max_test_samples` draw, are the same whatever the `seed`, so that runs compare; that draws
    `max_train_samples`. Label noise falls on the training data alone.

    Raises:
        ValueError: a set is missing, empty, lacks the column, or holds a class that the training set lacks.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    opened = open_files(args) if args.train_file else open_dataset(args.dataset_name, args.dataset_config_name)
    if "train" not in opened:
        raise ValueError(f"{args.dataset_name} has no split 'train', only {', '.join(opened)}")
    if args.test_split != "test" and args.test_split not in opened:
        raise ValueError(
            f"there is no split {args.test_split!r} to test on, only {', '.join(opened)}: set test_split"
        )
    if args.test_split == "train":
        raise ValueError("test_split is another split than train: without one, leave it out and set test_fraction")
    columns = columns_of(args)
    resolved = resolve(opened["train"], columns, "train")
    train = read_split(opened["train"], resolved, "train")
    if resolved.kind == "table":  # its columns follow from their order: the other splits have to take the same
        columns = Columns(label=resolved.label, features=resolved.inputs)
    found: dict[Split, str] = {"test": args.test_split}
    if args.test_split != "validation":
        found["validation"] = "validation"
    splits: dict[Split, LabelledData] = {
        split: as_labelled(opened[name], columns, train.class_names, name)
        for split, name in found.items()
        if name in opened
    }
    if "test" not in splits:
        train, splits["test"] = _hold_out(train, args.test_fraction, args.split_seed)
    if args.validation_fraction:
        if "validation" in splits:
            raise ValueError("the data has a validation set of its own: leave validation_fraction out")
        train, splits["validation"] = _hold_out(train, args.validation_fraction, args.split_seed)
    if args.label_noise:
        train = train.with_label_noise(args.label_noise, args.label_noise_seed)
    splits["train"] = train.sample(args.max_train_samples, seed)
    splits["test"] = splits["test"].sample(args.max_test_samples, seed=0)
    if "validation" in splits:
        splits["validation"] = splits["validation"].sample(args.max_eval_samples, seed=0)
    return splits


def columns_of(args: DataArguments) -> Columns:
    """The columns that a recipe names."""
    return Columns(
        args.image_column_name, args.audio_column_name, args.label_column_name, args.feature_column_names
    )


def open_ood(sources: Mapping[str, "Dataset | LabelledData | str | Path"]) -> dict[str, LabelledData]:
    """Out-of-distribution data by name, from data sets or from what `open_dataset` takes (its test split).

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_unlabelled`.
    """
    return {
        name: source if isinstance(source, LabelledData) else as_unlabelled(source, name=f"ood {name}")
        for name, source in _opened(sources)
    }


def open_labelled(
    sources: Mapping[str, "Dataset | LabelledData | str | Path"], columns: Columns = USUAL
) -> dict[str, LabelledData]:
    """Further labelled sets by name, such as shifted ones, from data sets or from what `open_dataset` takes.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`.
    """
    return {
        name: source if isinstance(source, LabelledData) else as_labelled(source, columns, name=f"shift {name}")
        for name, source in _opened(sources)
    }


def _opened(
    sources: Mapping[str, "Dataset | LabelledData | str | Path"],
) -> Iterator[tuple[str, "Dataset | LabelledData"]]:
    for name, source in sources.items():
        if isinstance(source, str | Path):
            splits = open_dataset(str(source))
            source = splits.get("test", next(iter(splits.values())))
        yield name, source


def as_labelled(
    dataset: Dataset,
    columns: Columns = USUAL,
    class_names: Sequence[str] | None = None,
    name: str = "data",
) -> LabelledData:
    """Finds the columns and gives every row a class index.

    Args:
        dataset: with a column of images or sound, or a table's columns, and one of classes: ClassLabel,
            strings or integers, or lists of them where an example can have several.
        columns: which they are.
        class_names: the classes to use, matched by name; None takes the set's own.
        name: for messages.

    Raises:
        ValueError: the set is empty, a column is not there or of another kind, or a class is not known.
    """
    return read_split(dataset, resolve(dataset, columns, name), name, class_names)


def read_split(
    dataset: Dataset, columns: Resolved, name: str, class_names: Sequence[str] | None = None
) -> LabelledData:
    """Reads a split whose columns are found already; see `as_labelled`."""
    cells = read_cells(dataset, columns, name)
    labels, own_names = read_labels(dataset, columns, name)
    data = LabelledData(cells, np.arange(len(cells)), labels, own_names, name)
    return data if class_names is None else data.with_classes(class_names)


def as_unlabelled(dataset: Dataset, columns: Columns = USUAL, name: str = "data") -> LabelledData:
    """Inputs alone, such as out-of-distribution input; every label is -1.

    Raises:
        ValueError: the set is empty, or the column is not there or of another kind.
    """
    cells = read_cells(dataset, resolve(dataset, columns, name, labelled=False), name)
    return LabelledData(cells, np.arange(len(cells)), np.full(len(cells), -1), [], name)


def load_test(
    source: str,
    split: str = "test",
    columns: Columns = USUAL,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> LabelledData:
    """The split to measure on; where there is no test split, the part of "train" that `load_splits` holds out
    with the same `test_fraction` and `split_seed`.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`; or there is no such split.
    """
    splits = open_dataset(source)
    if split in splits:
        return as_labelled(splits[split], columns, name=split)
    if split != "test" or "train" not in splits:
        raise ValueError(f"{source} has no split {split!r}, only {', '.join(splits)}: set --split")
    return _hold_out(as_labelled(splits["train"], columns, name="train"), test_fraction, split_seed)[1]


def load_part(source: str, split: str, columns: Columns = USUAL) -> LabelledData:
    """One split of a source, or its only one.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`; or there is no such split among several.
    """
    splits = open_dataset(source)
    if split not in splits and len(splits) > 1:
        raise ValueError(f"{source} has no split {split!r}, only {', '.join(splits)}")
    return as_labelled(splits.get(split, next(iter(splits.values()))), columns, name=split)


def _hold_out(data: LabelledData, fraction: float, seed: int) -> tuple[LabelledData, LabelledData]:
    """Two random parts with equal shares of classes where each class has enough examples, and each example one."""
    if data.is_multi_label:
        return _parts(data, fraction, None, seed)
    counts = np.bincount(data.labels)
    enough = counts[counts > 0].min() > 1 and len(data) * min(fraction, 1 - fraction) >= len(counts)
    return _parts(data, fraction, data.labels if enough else None, seed)


def _parts(
    data: LabelledData, fraction: float, stratify: np.ndarray | None, seed: int
) -> tuple[LabelledData, LabelledData]:
    parts = train_test_split(np.arange(len(data)), test_size=fraction, stratify=stratify, random_state=seed)
    return data.select(np.sort(parts[0])), data.select(np.sort(parts[1]))
