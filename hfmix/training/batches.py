"""Checks of what a `MixTrainer` is fed: examples, batches, and whether they suit the model."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import DefaultDataCollator, Trainer
from transformers.data.data_collator import default_data_collator
from transformers.trainer_utils import has_length

from hfmix.data.datasets.map_style import Examples


def check_training_data(trainer: Trainer) -> None:
    """Refuses, before the first step, training data of which no batch can be made.

    Raises:
        ValueError: there are fewer examples than a batch that is dropped, a stream is to be drawn balanced,
            columns are removed that a transform needs, or the default collator is given (input, label) pairs.
    """
    args, data = trainer.args, trainer.train_dataset
    if data is not None and not has_length(data) and getattr(args, "sampler", "random") == "balanced":
        raise ValueError("sampler balanced needs all labels, which a stream does not know: leave it out")
    if data is None or not has_length(data):
        return
    count, batch = len(data), trainer._train_batch_size * args.world_size
    if not count:
        raise ValueError("the training set has no examples")
    if args.dataloader_drop_last and count < batch:
        raise ValueError(
            f"dataloader_drop_last drops the only batch: the training set has {count} examples, fewer than "
            f"{trainer._train_batch_size} on each of {args.world_size} processes; leave it out, or lower "
            f"per_device_train_batch_size"
        )
    if args.remove_unused_columns and getattr(data, "format", {}).get("type") == "custom":
        trainer._set_signature_columns_if_needed()
        removed = [name for name in data.column_names if name not in trainer._signature_columns]
        if removed:
            raise ValueError(
                f"remove_unused_columns removes {', '.join(removed)} before the data set's transform "
                f"(set_transform) reads them: set remove_unused_columns=False, hfmix.MixTrainingArguments' default"
            )
    collator = trainer.data_collator
    is_default = collator is default_data_collator or isinstance(collator, DefaultDataCollator)
    if is_default and not isinstance(data, Examples) and not hasattr(data, "column_names"):
        example = data[0]
        if not isinstance(example, Mapping) and not hasattr(example, "__dict__"):
            raise ValueError(_not_a_mapping("the training set's examples", example, trainer.model))


def check_batch(batch: Any, model: nn.Module) -> None:
    """Raises a ValueError if a collated batch is not a mapping of names to tensors."""
    if not isinstance(batch, Mapping):
        raise ValueError(_not_a_mapping("the batches", batch, model))


def labels_of(batch: Mapping[str, Any], name: str) -> Tensor:
    """Returns a batch's labels.

    Raises:
        ValueError: there are none, or they are not (N,) or (N, C).
    """
    if name not in batch:
        raise ValueError(
            f"the batch has no {name!r}, only {', '.join(map(str, batch)) or 'nothing'}: name the classes "
            f"{name!r} in the data set or the collator, or set label_names"
        )
    labels = batch[name]
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or not len(labels):
        kind = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(
            f"the batch's {name!r} are {kind}: MixTrainer takes (N,) class indices, (N, C) soft or multi-hot"
        )
    return labels


def main_input_of(model: nn.Module, inputs: Mapping[str, Any]) -> str:
    """Returns the name of the input for whose shape plans are drawn.

    That is the model's ``main_input_name``; for a net without one, ``pixel_values`` or the first argument of its
    ``forward``.

    Raises:
        ValueError: the batch has no such input.
    """
    name = getattr(model, "main_input_name", None)
    name = name or ("pixel_values" if "pixel_values" in inputs else next(iter(_arguments(model)), "pixel_values"))
    if name not in inputs:
        raise ValueError(
            f"the batch has no {name!r}, which {type(model).__name__} takes, only "
            f"{', '.join(map(str, inputs)) or 'labels'}: name the input {name!r} in the data set, its transform "
            f"or the collator, and see that no column is removed before (remove_unused_columns)"
        )
    return name


def check_inputs(model: nn.Module, inputs: Mapping[str, Any]) -> None:
    """Raises a ValueError if a net's ``forward`` does not take one of a batch's inputs."""
    parameters = _parameters(model)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = _arguments(model)
    others = [name for name in inputs if name not in known]
    if others and known:
        raise ValueError(
            f"{type(model).__name__}.forward takes {', '.join(known)}, and the batch has {', '.join(others)}: "
            f"inputs are passed by name, so name them alike in the data set or the collator"
        )


def _arguments(model: nn.Module) -> list[str]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter.name for parameter in _parameters(model) if parameter.kind not in variable]


def _parameters(model: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # compiled, or written in C
        return []


def _not_a_mapping(what: str, given: Any, model: nn.Module) -> str:
    name = getattr(model, "main_input_name", None) or next(iter(_arguments(model)), "pixel_values")
    is_pair = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2
    kind = "(input, label) pairs" if is_pair else f"of type {type(given).__name__}"
    return (
        f'{what} are {kind}, and a Trainer takes dictionaries, {{"{name}": input, "labels": label}}: return these '
        f"from the data set, or make such batches in a data_collator"
    )
