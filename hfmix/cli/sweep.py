"""`hfmix sweep`: recipes under several seeds."""

from argparse import Namespace

from hfmix.cli.parsing import Commands

_DESCRIPTION = """\
Train each RECIPE under each seed, one after the other, and put the results into
one table: means over the seeds with their intervals, and differences to the
first recipe, seed by seed.

Every other option is one of `hfmix train`, for all runs.
"""

_EPILOG = """\
examples:
  hfmix sweep recipes/digits/*.yaml --out runs/digits_seeds
  hfmix sweep recipes/alternatives/*.yaml --seeds 0 1 2 --out runs/alternatives --num_train_epochs 30
  hfmix sweep recipes/uci/*.yaml --vary_split --out runs/uci

The runs are OUT/RECIPE/seedN, the table is OUT/sweep.md, with sweep.json and
sweep.png beside it. A sweep that was interrupted resumes when it is started
again: runs that are finished with the same settings are left as they are, and
a run that was interrupted continues from its last checkpoint. A run that fails
does not stop the others; the exit status is 1 then. More seeds or recipes can
be added to a sweep later. The table is written anew after each run. The same
command started again at the same time helps with the runs that are left.

The intervals are over the seeds. With one test set for all runs, they cover
the randomness of training; with --vary_split also the choice of the test set,
if the data has none of its own.
"""


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "sweep",
        help="train recipes under several seeds: one table of means and differences",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("recipes", metavar="RECIPE", nargs="+", help="YAML files, before all options")
    parser.add_argument("--out", metavar="OUT", required=True, help="folder for the runs and the table")
    parser.add_argument(
        "--seeds", metavar="N", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of training [0 1 2 3 4]"
    )
    parser.add_argument(
        "--vary_split", action="store_true", help="hold out another part of the training data for each seed"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="train again the runs in OUT that were begun with other settings",
    )
    parser.add_argument(
        "--stop_after",
        metavar="TIME",
        help="stop after this time, such as 90s, 150m or 2.5h, at a checkpoint of the run in training [never]",
    )
    parser.set_defaults(command=_run, training_options=[])


def _run(arguments: Namespace) -> None:
    from hfmix.sweep import sweep
    from hfmix.training.callbacks.stop_after import read_duration
    from hfmix.utils.errors import UsageError

    try:
        stop_after = None if arguments.stop_after is None else read_duration(arguments.stop_after)
    except ValueError as error:
        raise UsageError(str(error)) from error
    text = sweep(
        arguments.recipes,
        arguments.seeds,
        arguments.out,
        arguments.training_options,
        arguments.vary_split,
        arguments.overwrite,
        stop_after,
    )
    print(f"{text}\n{arguments.out}/sweep.md holds this, {arguments.out}/sweep.png the figure")
