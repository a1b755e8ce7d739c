"""`hfmix transfer`: adversarial examples made on one model and tested on others, in one process or in several."""

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from hfmix.cli.evaluation import pieces, processes_for, test_set
from hfmix.hub.download.load import load_pretrained
from hfmix.robustness.attacks.threats import parse_eps
from hfmix.robustness.presentation.transfer import save_transfer, transfer_table
from hfmix.robustness.transfer import transfer_matrix
from hfmix.utils.errors import UsageError


def transfer(arguments: Namespace) -> None:
    """Measures as the command line says, and prints the table on the main process.

    Raises:
        ValueError, OSError: a model or the data cannot be used; the message says why.
    """
    try:
        eps = parse_eps(arguments.eps)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with processes_for(arguments.out) as state:
        _transfer(arguments, eps, state)


def _transfer(arguments: Namespace, eps: float, state: PartialState) -> None:
    with state.main_process_first():  # what one process downloads, the others find
        test = test_set(arguments)
        models = {name: load_pretrained(path)[:2] for name, path in _named(arguments.models).items()}
    names = _class_names({name: model for name, (model, _) in models.items()})
    if set(test.class_names) <= set(names):
        test = test.with_classes(names)
    elif state.is_main_process:
        print("the data's class names are not the models': labels compare by index", file=sys.stderr)
    if torch.cuda.is_available():
        for model, _ in models.values():
            model.to(state.device)
    found = transfer_matrix(
        models,
        test.sample(arguments.max_samples, arguments.seed),
        attack=arguments.attack,
        eps=eps,
        norm=arguments.norm,
        steps=arguments.steps,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        keep=pieces(arguments.out),
        progress=state.is_main_process,
    )
    if state.is_main_process:
        print(transfer_table(found), end="")
        if arguments.out:
            save_transfer(found, arguments.out)
            print(f"\n{arguments.out}/transfer.md holds this, {arguments.out}/transfer.png the figure")


def _named(paths: Sequence[str]) -> dict[str, str]:
    """Each model's path under its last part, or, where two are alike, under the whole."""
    if len(set(paths)) < len(paths):
        raise ValueError(f"{next(path for path in paths if paths.count(path) > 1)} is given twice")
    short = [Path(path).name for path in paths]
    return dict(zip(short if len(set(short)) == len(paths) else paths, paths, strict=True))


def _class_names(models: Mapping[str, PreTrainedModel]) -> list[str]:
    """The models', in the order of their indices."""
    names = {
        name: [model.config.id2label[i] for i in range(model.config.num_labels)] for name, model in models.items()
    }
    (first, reference), *others = names.items()
    for name, classes in others:
        if classes != reference:
            raise ValueError(f"{first} and {name} have different classes, or the same in another order")
    return reference
