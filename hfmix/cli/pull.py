"""`hfmix pull`: download of a run from the Hub."""

from argparse import Namespace

from hfmix.cli.parsing import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "pull",
        help="bring a finished run from the Hub, every file checked",
        description="Download a finished run from the Hub, every file checked against its hash.",
    )
    parser.add_argument("name", metavar="NAME", help="org/name, or org/name@revision")
    parser.add_argument("--out", metavar="FOLDER", help="folder for the run [./name]")
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.hub.download.snapshot import pull

    print(pull(arguments.name, arguments.out))
