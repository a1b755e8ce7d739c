"""Weights of the classes in the loss: read as they are given, and worked out for the classes of a model."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hfmix.utils.text import listed

BALANCED = "balanced"

Given = str | dict[str, float] | list[float] | float | None
"""Weights as they are given: "balanced", by class name, one a class, or (for the positives) one for all."""


def read_weights(name: str, given: Any, one_for_all: bool = False) -> Given:
    """Reads weights from an option's words, or checks those that are given in Python.

    Args:
        name: the option's name, for messages.
        given: "balanced", a mapping of class names to weights (or its JSON), or a list of weights; each also as
            the only entry of a list, as on the command line.
        one_for_all: whether a single number is taken.

    Raises:
        ValueError: it is none of these, or a weight is negative or not finite.
    """
    if isinstance(given, Tensor | np.ndarray):
        given = given.tolist()
    if isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], str):
        given = given[0]
    if given is None or given == BALANCED:
        return given
    forms = f'"{BALANCED}", a mapping such as {{"cat": 2.0}}, or one number a class'
    if isinstance(given, str) and given.strip()[:1] in ("{", "["):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError(f'{name} is not JSON such as {{"cat": 2.0}}, {error}: {given!r}') from error
    if isinstance(given, Mapping):
        return {str(key): _number(name, value, f" for {key!r}") for key, value in given.items()}
    is_list = isinstance(given, list | tuple)
    if isinstance(given, str) and not _is_number(given):
        raise ValueError(f"{name} is {forms}, not {given!r}")
    if not is_list:
        number = _number(name, given)
        return number if one_for_all else [number]
    return [_number(name, value) for value in given]


def resolve_weights(
    name: str,
    given: Given,
    class_names: Sequence[str] | None,
    balanced: Callable[[], Tensor] | None = None,
) -> list[float] | None:
    """Works out one weight a class.

    Args:
        name: the option's name, for messages.
        given: the result of `read_weights`.
        class_names: the classes in the order of their indices; None if they are not known, as for a plain net.
        balanced: returns the weights for "balanced", (C,); an error names a class by its index.

    Raises:
        ValueError: there is another number of weights than classes, an unknown class, or "balanced" cannot be
            worked out.
    """
    if given is None:
        return None
    if given == BALANCED:
        try:
            return [float(weight) for weight in balanced()]
        except ValueError as error:
            index = str(error).rpartition(" ")[2]
            if not index.isdigit():
                raise
            which = f" ({class_names[int(index)]!r})" if class_names else ""
            raise ValueError(
                f"{name} balanced: {error}{which} in the training data, so its weight would be infinite: give the "
                f"weights by name"
            ) from error
    if class_names is None:
        if isinstance(given, dict):
            raise ValueError(f"{name} names classes, and the model's config has none: give one number a class")
        return given if isinstance(given, list) else None
    check_names(name, given, class_names)
    if isinstance(given, dict):
        return [given.get(class_name, 1.0) for class_name in class_names]
    return given if isinstance(given, list) else [given] * len(class_names)


def check_names(name: str, given: Given, class_names: Sequence[str]) -> None:
    """Raises a ValueError that lists the classes if weights by name or one a class do not fit them."""
    classes = f"the {len(class_names)} classes are {listed(class_names, 20)}"
    if isinstance(given, dict):
        unknown = [key for key in given if key not in class_names]
        if unknown:
            raise ValueError(f"{name} has a weight for {unknown[0]!r}, which is no class: {classes}")
    elif isinstance(given, list) and len(given) != len(class_names):
        count = f"{len(given)} weight{'' if len(given) == 1 else 's'}"
        raise ValueError(f"{name} has {count}: {classes}, in this order; or give weights by name")


def training_labels(dataset: Any, label_name: str, purpose: str) -> np.ndarray:
    """Returns the labels of a data set without reading its inputs: (N,) class indices or (N, C).

    They are looked for where hfmix's data sets, the `datasets` library's, torchvision's and `torch.utils.data`'s
    `Subset` have them.

    Raises:
        ValueError: they cannot be found, or are not known before the data are read; the message names `purpose`.
    """
    labels = _labels(dataset, label_name)
    if labels is None:
        raise ValueError(
            f"{purpose} needs the labels of all training examples, and {type(dataset).__name__} does not have "
            f"them: a data set with an attribute `labels` or `targets`, or of the datasets library, has"
        )
    labels = np.asarray(labels)
    if labels.ndim not in (1, 2) or labels.dtype == object or len(labels) != len(dataset):
        raise ValueError(f"{purpose} needs one label an example, the data set has {labels.shape} {labels.dtype}")
    return labels


def _labels(dataset: Any, label_name: str) -> Any:
    inner = getattr(dataset, "dataset", None)
    if inner is not None and hasattr(dataset, "indices"):  # torch's Subset
        labels = _labels(inner, label_name)
        return None if labels is None else np.asarray(labels)[np.asarray(dataset.indices)]
    if hasattr(dataset, "column_names") and hasattr(dataset, "with_format"):
        names = [name for name in (label_name, "labels", "label", "label_ids") if name in dataset.column_names]
        return dataset.with_format(None)[names[0]][:] if names and hasattr(dataset, "__len__") else None
    for owner in (getattr(dataset, "data", None), dataset):
        for name in ("labels", "targets"):
            found = getattr(owner, name, None)
            if found is not None and hasattr(found, "__len__"):
                return found.cpu() if isinstance(found, Tensor) else found
    return None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(name: str, value: Any, where: str = "") -> float:
    is_number = not isinstance(value, bool) and (
        isinstance(value, int | float) or (isinstance(value, str) and _is_number(value))
    )
    if not is_number or not 0.0 <= float(value) < float("inf"):
        raise ValueError(f"{name} are finite and not negative, not {value!r}{where}")
    return float(value)
