"""Labelled splits for training and evaluation, from any source that `open_dataset` takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from datasets import Dataset
from sklearn.model_selection import train_test_split

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import USUAL, Columns, Resolved, columns_of, read_cells, resolve
from hfmix.data.labelled import LabelledData
from hfmix.data.labels import read_labels
from hfmix.data.sources.open import Reading, Split, open_dataset, open_files
from hfmix.data.sources.opened import Opened
from hfmix.utils.text import listed


def load_splits(args: DataArguments, seed: int) -> dict[Split, LabelledData]:
    """Loads training, test and (if any) validation data, all with the training set's classes.

    Without a test set, `test_fraction` of the training data is held out at random, and then
    `validation_fraction` of the rest, both drawn by `split_seed`. The held-out parts and the samples of
    `max_eval_samples` and `max_test_samples` are the same for every `seed`, so that runs can be compared; `seed`
    draws only the sample of `max_train_samples`. Label noise applies to the training data only.

    Raises:
        ValueError: a split is missing or empty, lacks a column, or holds a class that the training set lacks.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    opened = open_training(args)
    if "train" not in opened:
        is_file = not args.train_file and Path(args.dataset_name).is_file()
        hint = f": set train_file to {args.dataset_name} to train on it" if is_file else ""
        raise ValueError(f"{args.dataset_name} has no split 'train', only {', '.join(opened)}{hint}")
    if args.test_split != "test" and args.test_split not in opened:
        raise ValueError(
            f"there is no split {args.test_split!r} to test on, only {', '.join(opened)}: set test_split"
        )
    columns = columns_of(args)
    resolved = resolve(opened["train"], columns, "train")
    train = _of_source(opened, "train", read_split(opened["train"], resolved, "train"), is_first=True)
    _check_classes(train, args)
    columns = replace(columns, label_form=train.columns.label_form)
    if resolved.kind == "table":  # the other splits take the same columns, even if their order differs
        cells = replace(columns.cells, categories=(*columns.cells.categories, *train.cells.words))
        columns = replace(columns, label=resolved.label, features=resolved.inputs, ignored=(), cells=cells)
    names: dict[Split, str] = {"test": args.test_split}
    if args.test_split != "validation":
        names["validation"] = "validation"
    splits: dict[Split, LabelledData] = {
        split: _of_source(opened, name, as_labelled(opened[name], columns, train.class_names, name))
        for split, name in names.items()
        if name in opened
    }
    for data in splits.values():
        _check_trained(data, train)
    if "test" not in splits:
        train, splits["test"] = _hold_out(train, "test", args.test_fraction, args.split_seed)
    if args.validation_fraction:
        if "validation" in splits:
            raise ValueError("the data has its own validation set: leave validation_fraction out")
        train, splits["validation"] = _hold_out(train, "validation", args.validation_fraction, args.split_seed)
    if args.label_noise:
        train = train.with_label_noise(args.label_noise, args.label_noise_seed)
    splits["train"] = _with_note_on_untrained(train.sample(args.max_train_samples, seed))
    splits["test"] = splits["test"].sample(args.max_test_samples, seed=0)
    if "validation" in splits:
        splits["validation"] = splits["validation"].sample(args.max_eval_samples, seed=0)
    return splits


def open_training(args: DataArguments, streaming: bool = False) -> Opened:
    """Opens the source that the options name.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `open_files`.
    """
    reading = reading_of(columns_of(args))
    if args.train_file:
        return open_files(args, streaming, reading)
    return open_dataset(args.dataset_name, args.dataset_config_name, streaming, reading)


def _check_classes(train: LabelledData, args: DataArguments) -> None:
    """Checks that the training set's labels can be classes.

    Raises:
        ValueError: every example has its own, as where the label is an identifier; or, for the last column of a
            table that is taken for the label, almost every one.
    """
    names, count = train.class_names, len(train)
    own = int((train.class_counts() == 1).sum())
    label = train.columns.label
    is_guess = args.label_column_name is None and label != "label"
    if train.is_multi_label or train.columns.has_class_names:
        return
    if (own == count and count >= 10) or (is_guess and count >= 20 and 3 * len(names) > count):
        raise ValueError(
            f"column {label!r} of the train set has {len(names)} different values in {count} rows "
            f"({listed(names, 3)}), which are hardly classes: set label_column_name to the column of classes"
        )


def _check_trained(data: LabelledData, train: LabelledData) -> None:
    """Raises a ValueError if a set has examples of classes that have a name, but no example, in training."""
    counts = data.class_counts()
    lacking = np.flatnonzero((train.class_counts() == 0) & (counts > 0))
    if len(lacking):
        classes = [f"{train.class_names[i]} ({counts[i]} example{'s' if counts[i] > 1 else ''})" for i in lacking]
        raise ValueError(
            f"the {data.name} set has classes without an example in the train set: {listed(classes)}: leave these "
            f"examples out, or give the model some to learn from"
        )


def _with_note_on_untrained(train: LabelledData) -> LabelledData:
    """Adds a note on classes of the model for which there is nothing to learn from."""
    untrained = [train.class_names[index] for index in np.flatnonzero(train.class_counts() == 0)]
    if not untrained:
        return train
    note = f"classes without a training example, whose outputs stay untrained: {listed(untrained)}"
    return replace(train, notes=(*train.notes, note))


def reading_of(columns: Columns, labelled: bool = True) -> Reading:
    """Returns how a source is read of which these columns are wanted."""
    paths, is_table = columns.image or columns.audio, columns.features is not None
    return Reading(columns.class_folder, paths, is_table, labelled)


def open_ood(sources: Mapping[str, "Dataset | LabelledData | str | Path"]) -> dict[str, LabelledData]:
    """Opens out-of-distribution data by name, from data sets or from sources of `open_dataset` (the test split).

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_unlabelled`.
    """
    return {
        name: source if isinstance(source, LabelledData) else as_unlabelled(source, name=f"ood {name}")
        for name, source in _opened(sources, Reading(labelled=False))
    }


def open_labelled(
    sources: Mapping[str, "Dataset | LabelledData | str | Path"], columns: Columns = USUAL
) -> dict[str, LabelledData]:
    """Opens further labelled data, such as shifted data, by name, from data sets or sources of `open_dataset`.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`.
    """
    return {
        name: source if isinstance(source, LabelledData) else as_labelled(source, columns, name=f"shift {name}")
        for name, source in _opened(sources, reading_of(columns))
    }


def _opened(
    sources: Mapping[str, "Dataset | LabelledData | str | Path"], reading: Reading
) -> Iterator[tuple[str, "Dataset | LabelledData"]]:
    for name, source in sources.items():
        if isinstance(source, str | Path):
            splits = open_dataset(str(source), reading=reading)
            source = splits.get("test", next(iter(splits.values())))
        yield name, source


def as_labelled(
    dataset: Dataset,
    columns: Columns = USUAL,
    class_names: Sequence[str] | None = None,
    name: str = "data",
) -> LabelledData:
    """Makes labelled data of a data set: finds its columns and gives every row a class index.

    Args:
        dataset: has a column of images or sound, or a table's columns, and one of classes: ClassLabel, strings or
            integers, or lists of them if examples can have several.
        columns: the columns to read, as far as they are given.
        class_names: the classes to use, matched by name; None takes the data set's own.
        name: the split's name in messages.

    Raises:
        ValueError: the data set is empty, a column is missing or of another kind, or a class is unknown.
    """
    return read_split(dataset, resolve(dataset, columns, name), name, class_names)


def read_split(
    dataset: Dataset, columns: Resolved, name: str, class_names: Sequence[str] | None = None
) -> LabelledData:
    """Reads a split whose columns are found already; see `as_labelled`."""
    cells = read_cells(dataset, columns, name)
    labels = read_labels(dataset, columns, name)
    if labels.form == "multi_hot" and class_names is not None and len(labels.class_names) != len(class_names):
        raise ValueError(
            f"the {name} set has vectors of {len(labels.class_names)} zeros and ones as labels, for "
            f"{len(class_names)} classes"
        )
    data = LabelledData(
        cells,
        np.arange(len(cells)),
        labels.values,
        labels.class_names,
        name,
        columns=replace(columns, label_form=labels.form, has_class_names=labels.has_class_names),
        notes=(*columns.notes, *labels.notes),
        are_numbers=labels.are_numbers,
    )
    return data if class_names is None else data.with_classes(class_names)


def as_unlabelled(dataset: Dataset, columns: Columns = USUAL, name: str = "data") -> LabelledData:
    """Makes data without classes, such as out-of-distribution data; every label is -1.

    Raises:
        ValueError: the data set is empty, or the column is missing or of another kind.
    """
    resolved = resolve(dataset, columns, name, labelled=False)
    cells = read_cells(dataset, resolved, name)
    labels = np.full(len(cells), -1)
    return LabelledData(cells, np.arange(len(cells)), labels, [], name, columns=resolved, notes=resolved.notes)


def load_test(
    source: str,
    split: str = "test",
    columns: Columns = USUAL,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> LabelledData:
    """Loads the split to measure on; without a test split, the part of "train" that `load_splits` holds out.

    That part is the same for the same `test_fraction` and `split_seed`.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`, or there is no such split.
    """
    splits = open_dataset(source, reading=reading_of(columns))
    if split in splits:
        return _of_source(splits, split, as_labelled(splits[split], columns, name=split), is_first=True)
    if split != "test" or "train" not in splits:
        raise ValueError(f"{source} has no split {split!r}, only {', '.join(splits)}: set --split")
    train = _of_source(splits, "train", as_labelled(splits["train"], columns, name="train"), is_first=True)
    return _hold_out(train, "test", test_fraction, split_seed)[1]


def load_part(source: str, split: str, columns: Columns = USUAL) -> LabelledData:
    """Loads one split of a source, or its only split.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`, or there is no such split among several.
    """
    splits = open_dataset(source, reading=reading_of(columns))
    if split not in splits and len(splits) > 1:
        raise ValueError(f"{source} has no split {split!r}, only {', '.join(splits)}")
    name = split if split in splits else next(iter(splits))
    return _of_source(splits, name, as_labelled(splits[name], columns, name=split), is_first=True)


def _of_source(opened: Opened, split: str, data: LabelledData, is_first: bool = False) -> LabelledData:
    """Adds what the source tells of a split; what it tells of all of them goes to the one that is read first."""
    source_notes, left_out = (opened.notes, opened.left_out) if is_first else ((), ())
    return replace(
        data, origin=opened.origins.get(split, ""), left_out=left_out, notes=(*source_notes, *data.notes)
    )


def _hold_out(data: LabelledData, split: Split, fraction: float, seed: int) -> tuple[LabelledData, LabelledData]:
    """Splits at random, stratified by class if every example has one class and every class enough examples.

    Returns:
        What remains of the data, and the part `split` of about this fraction.
    """
    counts = None if data.is_multi_label else np.bincount(data.labels)
    is_stratified = (
        counts is not None
        and counts[counts > 0].min() > 1
        and len(data) * min(fraction, 1 - fraction) >= len(counts)
    )
    kept, held_out = train_test_split(
        np.arange(len(data)),
        test_size=fraction,
        stratify=data.labels if is_stratified else None,
        random_state=seed,
    )
    how = "stratified by class" if is_stratified else "not stratified"
    origin = f"{fraction:g} of the {data.name} set, drawn by split_seed {seed}, {how}"
    rest, part = (data.select(np.sort(rows)) for rows in (kept, held_out))
    return rest, replace(part, origin=origin, left_out=(), notes=())
