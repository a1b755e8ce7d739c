"""Processes, data, models and the folder for partial results of `hfmix evaluate` and `hfmix transfer`.

Importing this file imports torch and accelerate: a command does so when it runs.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import distributed
from transformers import PreTrainedModel

from hfmix.cli.parsing import named_columns
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import load_test
from hfmix.data.summary import summarise
from hfmix.hub.download.load import load_pretrained
from hfmix.run_folder import is_finished


@contextmanager
def processes_for(out: str | None) -> Iterator[PartialState]:
    """Yields the state of the processes that measure into a folder; launched ones wait for each other at the end.

    Raises:
        FileExistsError: the folder holds a finished run.
    """
    if out and is_finished(Path(out)):
        raise FileExistsError(f"{out} holds a finished run with its own report: set another --out")
    state = PartialState(cpu=os.environ.get("ACCELERATE_USE_CPU") == "true")
    yield state
    if distributed.is_initialized():
        state.wait_for_everyone()
        state.destroy_process_group()


def load_test_set(arguments: Namespace, state: PartialState) -> LabelledData:
    """Loads the examples to measure on, with the data set's own classes; the main process says how they were read.

    Raises:
        ValueError, ConnectionError: as `load_test`.
    """
    columns = named_columns(arguments)
    data = load_test(arguments.dataset, arguments.split, columns, arguments.test_fraction, arguments.split_seed)
    if state.is_main_process:
        print(summarise({arguments.split: data}).text(), file=sys.stderr)
    return data


def load_models(paths: Mapping[str, str], state: PartialState) -> dict[str, tuple[PreTrainedModel, Any]]:
    """Loads models with their processors, by name, onto the process's GPU where there is one.

    Raises:
        ValueError: a model cannot be loaded, or two have different classes.
        ConnectionError: the Hub is needed and cannot be reached.
    """
    models = {name: load_pretrained(path)[:2] for name, path in paths.items()}
    (first, (reference, _)), *others = models.items()
    for name, (model, _) in others:
        if _class_names(model) != _class_names(reference):
            raise ValueError(f"{first} and {name} have different classes, or the same in another order")
    if torch.cuda.is_available():
        for model, _ in models.values():
            model.to(state.device)
    return models


def with_classes_of(
    models: Mapping[str, tuple[PreTrainedModel, Any]], *parts: LabelledData | None, state: PartialState
) -> list[LabelledData | None]:
    """Gives the data the models' class indices, matched by name; parts that are None stay None.

    Where no class of the first part has a name that the models know, labels compare by index, and the main process
    says so on standard error. The other parts are then matched to the first by name, or are numbers like it.

    Raises:
        ValueError: the models know only some of a part's classes.
    """
    names = _class_names(next(iter(models.values()))[0])
    if parts[0] is None or not {name.removesuffix(".") for name in parts[0].present_classes()}.isdisjoint(names):
        return [None if data is None else data.with_classes(names) for data in parts]
    if state.is_main_process:
        whose = "model's" if len(models) == 1 else "models'"
        print(f"the data's class names are not the {whose}: labels compare by index", file=sys.stderr)
    first = parts[0].by_value(len(names))
    return [first, *(None if data is None else data.with_classes(first.class_names) for data in parts[1:])]


def _class_names(model: PreTrainedModel) -> list[str]:
    """Returns the model's class names in the order of their indices."""
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


def partial_results(out: str | None) -> Path | None:
    """Returns the folder in which partial results are kept, so that an interrupted measurement can be resumed."""
    return Path(out, ".pieces") if out else None
