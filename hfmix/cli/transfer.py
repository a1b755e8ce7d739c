"""`hfmix transfer`: adversarial examples made on one model, tested on the others."""

from argparse import Namespace

from hfmix.cli.parsing import Commands, add_test_set, count, launched


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser(
        "transfer", help="attack each model with examples made on each other", allow_abbrev=False
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="two or more runs' folders or Hub ids")
    add_test_set(parser)
    parser.add_argument("--attack", choices=("pgd", "ifgsm", "fgsm"), default="pgd", help="with what [pgd]")
    parser.add_argument(
        "--eps",
        default="8/255",
        help="radius, in the input's own range: [0, 1] of images, [-1, 1] of sound [8/255]",
    )
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf", help="what the radius is of [linf]")
    parser.add_argument("--steps", type=count, default=10, help="of pgd and ifgsm [10]")
    parser.add_argument("--max_samples", type=count, help="measure on so many examples [all]")
    parser.add_argument("--batch_size", type=count, default=128, help="examples a forward pass [128]")
    parser.add_argument("--seed", type=int, default=0, help="of random starts and draws [0]")
    parser.add_argument("--num_processes", type=count, default=1, help="share the work among so many [1]")
    parser.add_argument("--out", help="a folder for table and figure; started again, it goes on from where it was")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    if launched(arguments):
        return
    from hfmix.transfer import transfer

    transfer(arguments)
