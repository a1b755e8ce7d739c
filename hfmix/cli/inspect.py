"""`hfmix inspect`: what is understood of data, without training."""

import sys
from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Adds the command. Its options are those of the data, which `hfmix.recipe.parse_data` reads."""
    parser = commands.add_parser(
        "inspect",
        help="show what is understood of data: classes, splits, columns, and what cannot be read",
        add_help=False,
    )
    parser.set_defaults(command=_run, training_options=[])


def _run(arguments: Namespace) -> None:
    from hfmix.recipe import parse_data

    data = parse_data(arguments.training_options or ["--help"])
    from hfmix.data.inspection import inspect_data

    inspection = inspect_data(data, seed=0)
    print(inspection.summary.text(), flush=True)
    for text in inspection.unreadable:
        print(f"  {text}")
    sys.stdout.flush()
    inspection.usable(data.skip_unreadable, lambda text: None)
