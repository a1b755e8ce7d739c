"""`hfmix compare`: runs side by side."""

from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "compare",
        help="put runs side by side: one table, one figure",
        description="Put runs side by side, with paired differences to the first.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders with a robustness.json")
    parser.add_argument("--out", metavar="FOLDER", help="folder for the table and the figure")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.robustness.comparison import compare

    print(compare(arguments.runs, arguments.out), end="")
    if arguments.out:
        print(f"\n{arguments.out}/comparison.md holds this, {arguments.out}/comparison.png the figure")
