"""`hfmix transfer`: adversarial examples made on one model and tested on the others."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hfmix.cli.parsing import Commands, add_test_set, count, launched
from hfmix.utils.errors import UsageError

if TYPE_CHECKING:
    from accelerate import PartialState


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "transfer",
        help="attack each model with examples made on each other",
        description="Make adversarial examples on each model, and test every model on them.",
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="two or more runs' folders or Hub ids")
    add_test_set(parser)
    parser.add_argument("--attack", choices=("pgd", "ifgsm", "fgsm"), default="pgd", help="attack to use [pgd]")
    parser.add_argument(
        "--eps",
        metavar="RADIUS",
        default="8/255",
        help="radius, in the input's own range: [0, 1] for images, [-1, 1] for sound [8/255]",
    )
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf", help="norm of the radius [linf]")
    parser.add_argument(
        "--steps", type=count, metavar="N", default=10, help="gradient steps of pgd and ifgsm [10]"
    )
    parser.add_argument("--max_samples", type=count, metavar="N", help="test examples to measure on [all]")
    parser.add_argument("--batch_size", type=count, metavar="N", default=128, help="examples per pass [128]")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="seed of samples and random starts [0]")
    parser.add_argument(
        "--num_processes", type=count, metavar="N", default=1, help="number of processes that share the work [1]"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="folder for table and figure; a measurement that was interrupted resumes from it",
    )
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    if launched(arguments):
        return
    from hfmix.cli.evaluation import processes_for
    from hfmix.robustness.attacks.threats import parse_eps

    try:
        eps = parse_eps(arguments.eps)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with processes_for(arguments.out) as state:
        _transfer(arguments, eps, state)


def _transfer(arguments: Namespace, eps: float, state: "PartialState") -> None:
    """Attacks the models and prints the table on the main process.

    Raises:
        ValueError, OSError: a model or the data cannot be used; the message says why.
    """
    from hfmix.cli.evaluation import load_models, load_test_set, partial_results, with_classes_of
    from hfmix.robustness.presentation.transfer import save_transfer, transfer_table
    from hfmix.robustness.transfer import transfer_matrix

    with state.main_process_first():  # what one process downloads, the others find
        test = load_test_set(arguments, state)
        models = load_models(_named(arguments.models), state)
    (test,) = with_classes_of(models, test, state=state)
    matrix = transfer_matrix(
        models,
        test.sample(arguments.max_samples, arguments.seed),
        attack=arguments.attack,
        eps=eps,
        norm=arguments.norm,
        steps=arguments.steps,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        keep=partial_results(arguments.out),
        progress=state.is_main_process,
    )
    if state.is_main_process:
        print(transfer_table(matrix), end="")
        if arguments.out:
            save_transfer(matrix, arguments.out)
            print(f"\n{arguments.out}/transfer.md holds this, {arguments.out}/transfer.png the figure")


def _named(paths: Sequence[str]) -> dict[str, str]:
    """Maps a name to each path: its last part, or the whole path where two models share their last part."""
    if len(set(paths)) < len(paths):
        raise ValueError(f"{next(path for path in paths if paths.count(path) > 1)} is given twice")
    short = [Path(path).name for path in paths]
    return dict(zip(short if len(set(short)) == len(paths) else paths, paths, strict=True))
