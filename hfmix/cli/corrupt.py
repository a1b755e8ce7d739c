"""`hfmix corrupt`: corrupted copies of files."""

from argparse import Namespace

from hfmix.cli.parsing import Commands
from hfmix.utils.errors import UsageError


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "corrupt",
        help="corrupt a folder of images or sound",
        description="Write corrupted copies of images or sound.",
    )
    parser.add_argument(
        "source", metavar="IN", help="a folder of images or sound; with --layout cifar-c any data set"
    )
    parser.add_argument("out", metavar="OUT", help="a folder for the corrupted copies")
    parser.add_argument("--name", help="corruption to apply, such as fog [with --layout cifar-c: all]")
    parser.add_argument(
        "--severity", type=int, default=3, choices=range(1, 6), help="strength, with --layout folder [3]"
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="seed of the noise [0]")
    parser.add_argument(
        "--layout",
        choices=("folder", "cifar-c"),
        default="folder",
        help="folder: files under their own names; cifar-c: as CIFAR-10-C, one NumPy file a corruption with all "
        "severities [folder]",
    )
    parser.set_defaults(command=_run)


def _run(arguments: Namespace) -> None:
    from hfmix.robustness.corruptions.folder import corrupt_folder, save_as_cifar_c

    if arguments.layout == "cifar-c":
        save_as_cifar_c(arguments.source, arguments.out, arguments.name, arguments.seed)
        return
    if arguments.name is None:
        raise UsageError("no corruption: set --name, such as fog")
    count = corrupt_folder(arguments.source, arguments.out, arguments.name, arguments.severity, arguments.seed)
    print(f"{arguments.out} holds {count} corrupted files")
