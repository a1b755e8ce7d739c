"""The command line. Parsing is cheap: a command imports what it needs when it runs."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from hfmix import __version__
from hfmix.cli import (
    compare,
    corrupt,
    evaluate,
    figure,
    inspect,
    models,
    pull,
    push,
    sweep,
    train,
    transfer,
    verify,
)
from hfmix.cli.parsing import Parser
from hfmix.utils.errors import report_errors
from hfmix.utils.malloc import keep_freed_memory

# in the order in which `hfmix --help` lists them
_COMMANDS = (inspect, train, evaluate, compare, sweep, transfer, corrupt, figure, push, pull, verify, models)

DESCRIPTION = """\
Mixup, RegMixup and their family for timm and Hugging Face classifiers,
and the report that shows how robust the result is.
"""

EPILOG = """\
start here:
  hfmix train recipes/digits/regmixup.yaml --output_dir runs/first
  hfmix evaluate runs/first --dataset digits --ood photographs=photo_patches
  hfmix push runs/first --repo-id your-name/first
  hfmix verify your-name/first

`hfmix COMMAND --help` lists a command's options. --debug shows the traceback of an error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0, 1 for a failure, 2 for a wrong option."""
    keep_freed_memory()
    return report_errors(_run, sys.argv[1:] if argv is None else list(argv))


def _run(argv: list[str]) -> None:
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    if others and "training_options" not in arguments:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.training_options = others
    arguments.command(arguments)


def _parser() -> ArgumentParser:
    parser = Parser(prog="hfmix", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hfmix {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for command in _COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
