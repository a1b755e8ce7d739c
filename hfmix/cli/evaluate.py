"""`hfmix evaluate`: a model's robustness, measured in one process or in several."""

import sys
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hfmix.cli.parsing import Commands, add_test_set, count, launched, named, named_columns
from hfmix.robustness.names import ATTACK_NAMES, AXES, DEFAULT_AXES, NORM_NAMES
from hfmix.utils.errors import UsageError

if TYPE_CHECKING:
    from accelerate import PartialState

    from hfmix.robustness.attacks.threats import Threat


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "evaluate",
        help="measure how robust a model is",
        description="Measure how robust a model is, and write a report with intervals and figures.",
    )
    parser.add_argument("model", metavar="MODEL", help="a run's folder or a Hub id")
    add_test_set(parser)
    _add_axes(parser)
    _add_attacks(parser.add_argument_group("adversarial input (--axes adversarial)"))
    between = parser.add_argument_group("in between examples (--axes interpolation)")
    between.add_argument("--pairs", type=count, metavar="N", default=500, help="number of pairs of examples [500]")
    wrong = parser.add_argument_group("wrong labels (--axes memorization)")
    wrong.add_argument(
        "--label_noise",
        type=float,
        metavar="SHARE",
        help="label_noise of the run's recipe: it tells which labels of --reference were wrong in training",
    )
    wrong.add_argument(
        "--label_noise_seed", type=int, metavar="N", default=0, help="label_noise_seed of the run's recipe [0]"
    )
    _add_extent(parser)
    parser.set_defaults(command=_run)


def _add_axes(parser: ArgumentParser) -> None:
    """Adds the axes, and the data and settings of those that are measured by default."""
    parser.add_argument(
        "--axes",
        nargs="+",
        metavar="AXIS",
        choices=AXES,
        help=f"what to measure, of {', '.join(AXES)} [{' '.join(DEFAULT_AXES)}]",
    )
    parser.add_argument(
        "--ood",
        nargs="+",
        type=named,
        default=[],
        metavar="NAME=SOURCE",
        help="out-of-distribution data; SOURCE as for --dataset, NAME for the report",
    )
    parser.add_argument(
        "--near", nargs="+", default=[], metavar="NAME", help="sets of --ood to average as near-OOD"
    )
    parser.add_argument("--far", nargs="+", default=[], metavar="NAME", help="sets of --ood to average as far-OOD")
    parser.add_argument(
        "--shift",
        nargs="+",
        type=named,
        default=[],
        metavar="NAME=SOURCE",
        help="further labelled test sets with the same classes, as --ood",
    )
    parser.add_argument("--validation", metavar="SOURCE", help="labelled data to fit the temperature on")
    parser.add_argument(
        "--reference",
        metavar="SOURCE",
        help="training data: features for the OOD scores k-NN and Mahalanobis, pairs for interpolation, "
        "labels for memorization",
    )
    parser.add_argument(
        "--corruptions",
        nargs="+",
        metavar="NAME",
        help="corruptions to apply [images: the 15 of ImageNet-C; sound: all]",
    )
    parser.add_argument(
        "--mode",
        choices=("parity", "corrected"),
        default="parity",
        help="corrupt with (parity) or without (corrected) the slips of ImageNet-C's code [parity]",
    )
    parser.add_argument(
        "--corrupted",
        metavar="FOLDER",
        help="measure on the corrupted images in this folder, in the layout of CIFAR-10-C",
    )


def _add_attacks(attacks: _ArgumentGroup) -> None:
    """Adds the attacks with their norms, radii and steps."""
    attacks.add_argument(
        "--attacks",
        nargs="+",
        metavar="ATTACK",
        choices=tuple(ATTACK_NAMES),
        default=["fgsm", "ifgsm", "pgd"],
        help=f"attacks, from weak to strong: {', '.join(ATTACK_NAMES)}; autoattack needs hfmix[autoattack] and "
        "hours [fgsm ifgsm pgd]",
    )
    attacks.add_argument(
        "--eps",
        nargs="+",
        metavar="RADIUS",
        help="radii, such as 8/255, in the input's own range [linf: 2/255 8/255; l2: 0.25 0.5]",
    )
    attacks.add_argument(
        "--norms",
        nargs="+",
        metavar="NORM",
        choices=tuple(NORM_NAMES),
        default=["linf"],
        help=f"norms of the radii, of {', '.join(NORM_NAMES)} [linf]",
    )
    attacks.add_argument(
        "--attack_steps", type=count, metavar="N", default=10, help="gradient steps of ifgsm and pgd [10]"
    )
    attacks.add_argument("--restarts", type=count, metavar="N", default=1, help="random restarts of pgd [1]")
    attacks.add_argument("--attack_samples", type=count, metavar="N", help="test examples to attack [all]")


def _add_extent(parser: ArgumentParser) -> None:
    """Adds how many examples are measured, and by how many processes."""
    parser.add_argument("--max_samples", type=count, metavar="N", help="test examples to measure on [all]")
    parser.add_argument("--corruption_samples", type=count, metavar="N", help="test examples to corrupt [all]")
    parser.add_argument("--batch_size", type=count, metavar="N", default=128, help="examples per pass [128]")
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="seed of samples, corruptions and other random draws [0]"
    )
    parser.add_argument(
        "--skip_unreadable", action="store_true", help="leave out files that cannot be read, and count them"
    )
    parser.add_argument(
        "--num_processes", type=count, metavar="N", default=1, help="number of processes that share the work [1]"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="folder for the report; an evaluation that was interrupted resumes from it"
    )


def _run(arguments: Namespace) -> None:
    if launched(arguments):
        return
    from hfmix.cli.evaluation import processes_for

    if arguments.label_noise is not None and arguments.reference is None:
        raise UsageError("--label_noise says which labels of --reference were wrong: give it too")
    threats = _threats(arguments)
    with processes_for(arguments.out) as state:
        _evaluate(arguments, threats, state)


def _evaluate(arguments: Namespace, threats: Sequence["Threat"], state: "PartialState") -> None:
    """Measures a model and prints the headline on the main process.

    Raises:
        ValueError, OSError: the model or the data cannot be used; the message says why.
    """
    from hfmix.cli.evaluation import load_models, load_test_set, partial_results, with_classes_of
    from hfmix.data.splits import load_part
    from hfmix.models.processors.table import held_out_notes
    from hfmix.robustness.evaluate import evaluate_robustness
    from hfmix.robustness.presentation import headline

    columns = named_columns(arguments)
    with state.main_process_first():  # what one process downloads, the others find
        test = load_test_set(arguments, state)
        models = load_models({arguments.model: arguments.model}, state)
        validation, reference = (
            None if source is None else load_part(source, split, columns)
            for source, split in ((arguments.validation, "validation"), (arguments.reference, "train"))
        )
    test, validation, reference = with_classes_of(models, test, validation, reference, state=state)
    if test.kind == "table" and state.is_main_process:
        for note in held_out_notes(models[arguments.model][1], test, "test"):
            print(note, file=sys.stderr)
    if arguments.label_noise is not None:
        reference = reference.with_label_noise(arguments.label_noise, arguments.label_noise_seed)
    report = evaluate_robustness(
        *models[arguments.model],
        test.sample(arguments.max_samples, arguments.seed),
        axes=arguments.axes or DEFAULT_AXES,
        ood=dict(arguments.ood),
        shift=dict(arguments.shift),
        validation=validation,
        reference=reference,
        groups={name: sets for name, sets in (("near", arguments.near), ("far", arguments.far)) if sets},
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
        keep=partial_results(arguments.out),
        progress=state.is_main_process,
    )
    if state.is_main_process:
        print(headline(report.axes))
        if arguments.out:
            report.save(arguments.out)
            print(f"{arguments.out}/report.html is the report, {arguments.out}/robustness.json has every figure")


def _threats(arguments: Namespace) -> list["Threat"]:
    """Returns one threat per norm.

    Raises:
        UsageError: a radius is not a number.
    """
    from hfmix.robustness.attacks.threats import Threat

    steps = {"steps": arguments.attack_steps, "restarts": arguments.restarts}
    try:
        return [Threat(norm, arguments.eps, arguments.attacks, **steps) for norm in arguments.norms]
    except ValueError as error:
        raise UsageError(str(error)) from error
