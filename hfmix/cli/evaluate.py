"""`hfmix evaluate`: measures how robust a model is, in one process or in several."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hfmix.cli.parsing import Commands, add_test_set, count, launched, named, named_columns
from hfmix.robustness.names import ATTACK_NAMES, AXES, DEFAULT_AXES, NORM_NAMES
from hfmix.utils.errors import UsageError

if TYPE_CHECKING:
    from accelerate import PartialState

    from hfmix.robustness.attacks.threats import Threat


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser("evaluate", help="measure how robust a model is", allow_abbrev=False)
    parser.add_argument("model", metavar="MODEL", help="a run's folder or a Hub id")
    add_test_set(parser)
    usual = ", ".join(DEFAULT_AXES)
    parser.add_argument("--axes", nargs="+", choices=AXES, help=f"what to measure [{usual}]")
    parser.add_argument(
        "--ood", nargs="+", type=named, default=[], metavar="NAME=SOURCE", help="out-of-distribution data"
    )
    parser.add_argument("--near", nargs="+", default=[], metavar="NAME", help="which of --ood are near")
    parser.add_argument("--far", nargs="+", default=[], metavar="NAME", help="which of --ood are far")
    parser.add_argument(
        "--shift", nargs="+", type=named, default=[], metavar="NAME=SOURCE", help="further labelled data"
    )
    parser.add_argument("--validation", metavar="SOURCE", help="data to fit the temperature on")
    parser.add_argument(
        "--reference",
        metavar="SOURCE",
        help="training data: its features for k-NN and Mahalanobis, its pairs for interpolation",
    )
    parser.add_argument(
        "--corruptions", nargs="+", metavar="NAME", help="which corruptions [the 15 of ImageNet-C; all of sound]"
    )
    parser.add_argument(
        "--mode",
        choices=("parity", "corrected"),
        default="parity",
        help="with or without ImageNet-C's slips [parity]",
    )
    parser.add_argument(
        "--corrupted", metavar="FOLDER", help="take these images, in the layout of CIFAR-10-C, corrupted before"
    )
    attacks = parser.add_argument_group("adversarial input (--axes adversarial)")
    attacks.add_argument(
        "--attacks",
        nargs="+",
        choices=tuple(ATTACK_NAMES),
        default=["fgsm", "ifgsm", "pgd"],
        help="by what, from weak to strong; autoattack needs hfmix[autoattack] and hours [fgsm ifgsm pgd]",
    )
    attacks.add_argument(
        "--eps", nargs="+", help="radii, such as 8/255, in the input's own range [linf: 2/255 8/255; l2: 0.25 0.5]"
    )
    attacks.add_argument(
        "--norms", nargs="+", choices=tuple(NORM_NAMES), default=["linf"], help="of the radii [linf]"
    )
    attacks.add_argument("--attack_steps", type=count, default=10, help="of ifgsm and pgd [10]")
    attacks.add_argument("--restarts", type=count, default=1, help="of pgd [1]")
    attacks.add_argument("--attack_samples", type=count, help="attack so many examples [all]")
    between = parser.add_argument_group("in between examples (--axes interpolation)")
    between.add_argument("--pairs", type=count, default=500, help="of examples [500]")
    wrong = parser.add_argument_group("wrong labels (--axes memorization)")
    wrong.add_argument("--label_noise", type=float, help="the run's: which labels of --reference were wrong")
    wrong.add_argument("--label_noise_seed", type=int, default=0, help="the run's [0]")
    parser.add_argument("--max_samples", type=count, help="measure on so many examples [all]")
    parser.add_argument("--corruption_samples", type=count, help="corrupt so many examples [all]")
    parser.add_argument("--batch_size", type=count, default=128, help="examples a forward pass [128]")
    parser.add_argument("--seed", type=int, default=0, help="of corruption and draws [0]")
    parser.add_argument(
        "--skip_unreadable", action="store_true", help="leave files out that cannot be read, and count them"
    )
    parser.add_argument("--num_processes", type=count, default=1, help="share the work among so many [1]")
    parser.add_argument("--out", help="a folder for the report; started again, it goes on from where it was")
    parser.set_defaults(command=_run)


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
    from hfmix.robustness.evaluate import evaluate_robustness
    from hfmix.robustness.presentation.headlines import headline

    columns = named_columns(arguments)
    with state.main_process_first():  # what one process downloads, the others find
        test = load_test_set(arguments)
        models = load_models({arguments.model: arguments.model}, state)
        validation, reference = (
            None if source is None else load_part(source, split, columns).with_classes(test.class_names)
            for source, split in ((arguments.validation, "validation"), (arguments.reference, "train"))
        )
    if arguments.label_noise is not None:
        reference = reference.with_label_noise(arguments.label_noise, arguments.label_noise_seed)
    test, validation, reference = with_classes_of(models, test, validation, reference, state=state)
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
        print(headline(report))
        if arguments.out:
            report.save(arguments.out)
            print(f"{arguments.out}/report.html is the report, {arguments.out}/robustness.json has every figure")


def _threats(arguments: Namespace) -> list["Threat"]:
    """Returns one threat a norm.

    Raises:
        UsageError: a radius is not a number.
    """
    from hfmix.robustness.attacks.threats import Threat

    steps = {"steps": arguments.attack_steps, "restarts": arguments.restarts}
    try:
        return [Threat(norm, arguments.eps, arguments.attacks, **steps) for norm in arguments.norms]
    except ValueError as error:
        raise UsageError(str(error)) from error
