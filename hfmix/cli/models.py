"""`hfmix models`: what there is on the Hub."""

from argparse import Namespace

from hfmix.cli.parsing import Commands, count
from hfmix.hub.download.listing import FIGURES


def add(commands: Commands) -> None:
    """Its options."""
    parser = commands.add_parser(
        "models", help="list the robust models on the Hub that carry hfmix's tag", allow_abbrev=False
    )
    parser.add_argument("--best", choices=tuple(FIGURES), help="sort by this figure, best first")
    parser.add_argument("--dataset", help="only what was measured on it, such as cifar10")
    parser.add_argument("--limit", type=count, default=20, help="list so many [20]")
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
