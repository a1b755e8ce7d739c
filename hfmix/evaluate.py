"""`hfmix evaluate`: how robust a model is, measured in one process or in several."""

import sys
from argparse import Namespace
from collections.abc import Sequence

import torch
from accelerate import PartialState

from hfmix.cli.evaluation import named_columns, pieces, processes_for, test_set
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import load_part
from hfmix.hub.download.load import load_pretrained
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.evaluate import evaluate_robustness
from hfmix.robustness.names import DEFAULT_AXES
from hfmix.robustness.presentation import headline
from hfmix.utils.errors import UsageError


def evaluate(arguments: Namespace) -> None:
    """Measures a model as the command line says, and prints the headline on the main process.

    Raises:
        ValueError, OSError: the model or the data cannot be used; the message says why.
    """
    threats = _threats(arguments)
    with processes_for(arguments.out) as state:
        _evaluate(arguments, threats, state)


def _evaluate(arguments: Namespace, threats: Sequence[Threat], state: PartialState) -> None:
    with state.main_process_first():  # what one process downloads, the others find
        test = test_set(arguments)
        model, processor, _ = load_pretrained(arguments.model)
        validation, reference = (
            None if source is None else _with_classes_of(test, load_part(source, split, named_columns(arguments)))
            for source, split in ((arguments.validation, "validation"), (arguments.reference, "train"))
        )
    if arguments.label_noise is not None:
        if reference is None:
            raise UsageError("--label_noise says which labels of --reference were wrong: give it too")
        reference = reference.with_label_noise(arguments.label_noise, arguments.label_noise_seed)
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    by_name = set(test.class_names) <= set(names)
    if by_name:
        test, validation, reference = (
            None if data is None else data.with_classes(names) for data in (test, validation, reference)
        )
    elif state.is_main_process:
        print("the data's class names are not the model's: labels compare by index", file=sys.stderr)
    if torch.cuda.is_available():
        model.to(state.device)
    report = evaluate_robustness(
        model,
        processor,
        test.sample(arguments.max_samples, arguments.seed),
        axes=arguments.axes or DEFAULT_AXES,
        ood=dict(arguments.ood),
        shift=dict(arguments.shift),
        validation=validation,
        reference=reference,
        groups=_groups(arguments.near, arguments.far),
        corruptions=arguments.corruptions,
        corruption_samples=arguments.corruption_samples,
        mode=arguments.mode,
        corrupted=arguments.corrupted,
        threats=threats,
        attack_samples=arguments.attack_samples,
        pairs=arguments.pairs,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        skip_unreadable=arguments.skip_unreadable,
        name=arguments.model,
        keep=pieces(arguments.out),
        progress=state.is_main_process,
    )
    if state.is_main_process:
        print(headline(report.axes))
        if arguments.out:
            report.save(arguments.out)
            print(f"{arguments.out}/report.html is the report, {arguments.out}/robustness.json has every figure")


def _threats(arguments: Namespace) -> list[Threat]:
    """One a norm.

    Raises:
        UsageError: radii that are no numbers.
    """
    steps = {"steps": arguments.attack_steps, "restarts": arguments.restarts}
    try:
        return [Threat(norm, arguments.eps, arguments.attacks, **steps) for norm in arguments.norms]
    except ValueError as error:
        raise UsageError(str(error)) from error


def _groups(near: Sequence[str], far: Sequence[str]) -> dict[str, Sequence[str]]:
    return {name: sets for name, sets in (("near", near), ("far", far)) if sets}


def _with_classes_of(test: LabelledData, data: LabelledData) -> LabelledData:
    return data.with_classes(test.class_names)
