"""Labelled images from the Hub, a folder, Parquet files or a dependency, ready for training and evaluation."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Image, Value
from sklearn.model_selection import train_test_split

from hfmix.arguments import DataArguments
from hfmix.data.labelled import LabelledImages
from hfmix.data.sources import Split, open_dataset, open_files


def load_splits(args: DataArguments, seed: int) -> dict[Split, LabelledImages]:
    """Training and test images, and validation images where there are some, all with the training set's classes.

    Without a test set, `test_fraction` of the training data is held out at random, and then
    `validation_fraction` of what is left. Both parts, and what `max_eval_samples` and `max_test_samples` draw,
    are the same whatever the seed, so that runs compare; `seed` draws `max_train_samples`. Label noise falls on
    the training images alone.

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
    columns = (args.image_column_name, args.label_column_name)
    train = as_labelled(opened["train"], *columns, name="train")
    found: dict[Split, str] = {"test": args.test_split}
    if args.test_split != "validation":
        found["validation"] = "validation"
    splits: dict[Split, LabelledImages] = {
        split: as_labelled(opened[name], *columns, train.class_names, name)
        for split, name in found.items()
        if name in opened
    }
    if "test" not in splits:
        train, splits["test"] = _hold_out(train, args.test_fraction)
    if args.validation_fraction:
        if "validation" in splits:
            raise ValueError("the data has a validation set of its own: leave validation_fraction out")
        train, splits["validation"] = _hold_out(train, args.validation_fraction)
    if args.label_noise:
        train = train.with_label_noise(args.label_noise, args.label_noise_seed)
    splits["train"] = train.sample(args.max_train_samples, seed)
    splits["test"] = splits["test"].sample(args.max_test_samples, seed=0)
    if "validation" in splits:
        splits["validation"] = splits["validation"].sample(args.max_eval_samples, seed=0)
    return splits


def open_ood(sources: Mapping[str, "Dataset | LabelledImages | str | Path"]) -> dict[str, LabelledImages]:
    """Out-of-distribution images by name, from data sets or from what `open_dataset` takes (its test split).

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_unlabelled`.
    """
    opened = {}
    for name, source in sources.items():
        if isinstance(source, str | Path):
            splits = open_dataset(str(source))
            source = splits.get("test", next(iter(splits.values())))
        opened[name] = source if isinstance(source, LabelledImages) else as_unlabelled(source, name=f"ood {name}")
    return opened


def as_labelled(
    dataset: Dataset,
    image_column: str | None = None,
    label_column: str | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "data",
) -> LabelledImages:
    """Finds the columns and gives every row a class index.

    Args:
        dataset: with a column of images and one of classes (ClassLabel, strings or integers).
        image_column, label_column: None takes `image` and `label`, or the only column of that kind.
        class_names: the classes to use, matched by name; None takes the set's own.
        name: for messages.

    Raises:
        ValueError: the set is empty, a column is not there or of another kind, or a class is not known.
    """
    cells = _cells(dataset, image_column, name)
    labels, own_names = _labels(dataset, _column(dataset, label_column, "label", ClassLabel, name), name)
    images = LabelledImages(cells, np.arange(len(cells)), labels, own_names, name)
    return images if class_names is None else images.with_classes(class_names)


def as_unlabelled(dataset: Dataset, image_column: str | None = None, name: str = "data") -> LabelledImages:
    """Images alone, such as out-of-distribution input; every label is -1.

    Raises:
        ValueError: the set is empty, or the column is not there or of another kind.
    """
    cells = _cells(dataset, image_column, name)
    return LabelledImages(cells, np.arange(len(cells)), np.full(len(cells), -1), [], name)


def load_test(
    source: str,
    split: str = "test",
    image_column: str | None = None,
    label_column: str | None = None,
    test_fraction: float = 0.2,
) -> LabelledImages:
    """The split to measure on; where there is no test split, the part of "train" that `load_splits` holds out.

    Raises:
        ValueError, ConnectionError: as `open_dataset` and `as_labelled`; or there is no such split.
    """
    splits = open_dataset(source)
    if split in splits:
        return as_labelled(splits[split], image_column, label_column, name=split)
    if split != "test" or "train" not in splits:
        raise ValueError(f"{source} has no split {split!r}, only {', '.join(splits)}: set --split")
    return _hold_out(as_labelled(splits["train"], image_column, label_column, name="train"), test_fraction)[1]


def _hold_out(images: LabelledImages, fraction: float) -> tuple[LabelledImages, LabelledImages]:
    """Two random parts with equal shares of classes where each class has enough examples."""
    counts = np.bincount(images.labels)
    enough = counts[counts > 0].min() > 1 and len(images) * min(fraction, 1 - fraction) >= len(counts)
    stratify = images.labels if enough else None
    parts = train_test_split(np.arange(len(images)), test_size=fraction, stratify=stratify, random_state=0)
    return images.select(np.sort(parts[0])), images.select(np.sort(parts[1]))


def _column(dataset: Dataset, wanted: str | None, usual: str, kind: type, name: str) -> str:
    columns = dataset.column_names
    if wanted is None:
        alike = [column for column, feature in dataset.features.items() if isinstance(feature, kind)]
        wanted = usual if usual in columns or len(alike) != 1 else alike[0]
    if wanted not in columns:
        near = get_close_matches(wanted, columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"set {usual}_column_name"
        raise ValueError(f"the {name} set has no column {wanted!r}, only {', '.join(columns)}: {hint}")
    return wanted


def _cells(dataset: Dataset, column: str | None, name: str) -> Dataset:
    """The column of images alone, not decoded."""
    if len(dataset) == 0:
        raise ValueError(f"the {name} set is empty")
    dataset = dataset.with_format(None)  # without a transform that a user has set on it
    column = _column(dataset, column, "image", Image, name)
    feature = dataset.features[column]
    readable = isinstance(feature, Image) or (isinstance(feature, Value) and feature.dtype in ("string", "binary"))
    if not readable:
        raise ValueError(f"column {column!r} of the {name} set does not hold images but {feature}")
    return dataset.select_columns([column]).cast_column(column, Image(decode=False))


def _labels(dataset: Dataset, column: str, name: str) -> tuple[np.ndarray, list[str]]:
    """(N,) class indices and the names of the classes."""
    feature, values = dataset.features[column], list(dataset.with_format(None)[column])
    if None in values:
        raise ValueError(f"column {column!r} of the {name} set has no class in row {values.index(None)}")
    if isinstance(feature, ClassLabel):
        class_names, labels = list(feature.names), np.array(values)
    elif isinstance(feature, Value) and feature.dtype in ("string", "large_string"):
        class_names, labels = np.unique(values, return_inverse=True)
        class_names = class_names.tolist()
    elif isinstance(feature, Value) and "int" in feature.dtype:
        labels = np.array(values)
        class_names = [str(index) for index in range(max(values) + 1)]
    else:
        raise ValueError(f"column {column!r} of the {name} set does not hold classes but {feature}")
    if labels.min() < 0:
        raise ValueError(f"column {column!r} of the {name} set has class {labels.min()} in row {labels.argmin()}")
    return labels.astype(np.int64), class_names
