"""What the commands' options are read with."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, NoReturn, Protocol

from hfmix.utils.errors import UsageError

if TYPE_CHECKING:
    from hfmix.data.columns import Columns


class Parser(ArgumentParser):
    """A parser whose errors are one line, and whose options are written out."""

    def error(self, message: str) -> NoReturn:
        """Raises a UsageError."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **kwargs: object) -> ArgumentParser: ...


def add_test_set(parser: ArgumentParser) -> None:
    """Which data to measure on."""
    parser.add_argument(
        "--dataset", required=True, help="the test set: a Hub id, a folder, a Parquet file, or `digits`"
    )
    parser.add_argument("--split", default="test", help="which split of it [test]")
    parser.add_argument(
        "--test_fraction",
        type=float,
        default=0.2,
        help="share of `train` to measure on where there is no `test`: the part that training held out [0.2]",
    )
    parser.add_argument("--split_seed", type=int, default=0, help="the run's, which drew that part [0]")
    add_columns(parser)


def add_columns(parser: ArgumentParser) -> None:
    """Which columns of it."""
    parser.add_argument("--image_column_name", help="the column of images [the only one]")
    parser.add_argument("--audio_column_name", help="the column of sound [the only one]")
    parser.add_argument("--label_column_name", help="the column of classes [the only one]")


def named_columns(arguments: Namespace) -> "Columns":
    """Returns the columns that the options of `add_columns` name."""
    from hfmix.data.columns import Columns

    return Columns(arguments.image_column_name, arguments.audio_column_name, arguments.label_column_name)


def launched(arguments: Namespace) -> bool:
    """Runs the command anew in ``--num_processes`` processes, where several are asked for; whether it did."""
    if arguments.num_processes == 1 or "RANK" in os.environ:
        return False
    import torch

    from hfmix.cli.launch import launch, take_num_processes

    _, options = take_num_processes(sys.argv[1:])
    launch("hfmix", options, arguments.num_processes, not torch.cuda.is_available())
    return True


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def named(text: str) -> tuple[str, str]:
    """NAME=SOURCE."""
    name, equals, source = text.partition("=")
    if not (name and equals and source):
        raise ArgumentTypeError(f"{text!r} is not NAME=SOURCE")
    return name, source
