"""`hfmix models`: the robust models on the Hub."""

from argparse import Namespace

from hfmix.cli.parsing import Commands, count
from hfmix.hub.download.listing import FIGURES


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "models",
        help="list the robust models on the Hub that carry hfmix's tag",
        description="List the robust models on the Hub that carry hfmix's tag, as their cards claim.",
    )
    parser.add_argument("--best", choices=tuple(FIGURES), help="measure to sort by, best first [the Hub's order]")
    parser.add_argument("--dataset", metavar="NAME", help="only models measured on it, such as cifar10 [any]")
    parser.add_argument("--limit", type=count, metavar="N", default=20, help="most models to list [20]")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.hub.download.listing import list_models, models_table
    from hfmix.utils.text import printable

    models, unreadable = list_models(arguments.best, arguments.dataset, arguments.limit)
    on = f" that was measured on {printable(arguments.dataset)}" if arguments.dataset else ""
    print(models_table(models) if models else f"no model{on} is on the Hub under the tag hfmix")
    if models:
        print("\nas their cards claim; `hfmix verify NAME` measures it again")
    if unreadable:
        print(f"{unreadable} more under the tag, without a card whose figures can be read")
