"""The parser of all commands, and the options that several of them share."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from hfmix.utils.arguments import as_declared
from hfmix.utils.errors import UsageError

if TYPE_CHECKING:
    from hfmix.data.columns import Columns


class Parser(ArgumentParser):
    """A parser that takes `-` and `_` in an option for the same, and shows its usage and its errors in one line.

    Options cannot be abbreviated.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": RawDescriptionHelpFormatter, **settings})

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parses as `ArgumentParser` does, once options are spelled as they were declared."""
        argv = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(as_declared(argv, self._option_string_actions), namespace)

    def error(self, message: str) -> NoReturn:
        """Raises a UsageError."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")

    def format_help(self) -> str:
        """Returns the help, headed by a usage of one line: what has to be given, then ``[options]``."""
        self.usage = self.usage or self._usage()
        return super().format_help()

    def _usage(self) -> str:
        formatter = self._get_formatter()
        words, has_options = [self.prog], False
        for action in sorted(self._actions, key=lambda action: bool(action.option_strings)):
            if not action.option_strings:
                words.append(formatter._format_args(action, action.dest.upper()))
            elif action.required:
                words += [action.option_strings[0], formatter._format_args(action, action.dest.upper())]
            else:
                has_options |= action.dest not in ("help", "version")
        return " ".join([*words, "[options]"] if has_options else words)


class Commands(Protocol):
    """The object that `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **settings: object) -> ArgumentParser: ...


def add_test_set(parser: ArgumentParser) -> None:
    """Adds the options that say which data to measure on."""
    parser.add_argument(
        "--dataset",
        metavar="SOURCE",
        required=True,
        help="test set: a Hub id, a folder, a Parquet file, or `digits`",
    )
    parser.add_argument("--split", metavar="NAME", default="test", help="split of the data set [test]")
    parser.add_argument(
        "--test_fraction",
        metavar="SHARE",
        type=float,
        default=0.2,
        help="data without a split `test`: share of `train` that training held out, to measure on [0.2]",
    )
    parser.add_argument(
        "--split_seed", metavar="N", type=int, default=0, help="seed that drew the held-out part in training [0]"
    )
    add_columns(parser)


def add_columns(parser: ArgumentParser) -> None:
    """Adds the options that name the data set's columns."""
    for kind, content in (("image", "the images"), ("audio", "the sound")):
        parser.add_argument(
            f"--{kind}_column_name", metavar="COLUMN", help=f"column with {content} [`{kind}`, or the only one]"
        )
    for option, value, text in (
        (
            "label_column_name",
            "COLUMN",
            "column with the classes, or several columns of zeros and ones [`label`, or the only one]",
        ),
        ("feature_column_names", "COLUMN", "tables: columns of inputs [all but the label column]"),
        ("ignore_columns", "COLUMN", "tables: columns to leave out"),
        ("categorical_columns", "COLUMN", "tables: columns of categories even if they are numbers"),
        ("missing_values", "WORD", "tables: what stands for a missing cell"),
    ):
        parser.add_argument(f"--{option}", metavar=value, nargs="+", help=text)
    parser.add_argument(
        "--label_form",
        choices=("indices", "multi_hot"),
        help="what lists of numbers are as labels: indices of classes, or a zero or one per class [found out]",
    )
    parser.add_argument(
        "--class_folder",
        choices=("top", "deepest"),
        help="folders within the class folders: which of them is the class, where both make sense",
    )


def named_columns(arguments: Namespace) -> "Columns":
    """Returns the columns that the options of `add_columns` name."""
    from hfmix.data.columns import columns_of

    return columns_of(arguments)


def launched(arguments: Namespace) -> bool:
    """Runs the command in ``--num_processes`` new processes; returns False if one is enough, or this is one."""
    if arguments.num_processes == 1 or "RANK" in os.environ:
        return False
    import torch

    from hfmix.cli.launch import launch, take_num_processes

    _, options = take_num_processes(sys.argv[1:])
    launch("hfmix", options, arguments.num_processes, not torch.cuda.is_available())
    return True


def count(text: str) -> int:
    """Converts an option's value to a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def named(text: str) -> tuple[str, str]:
    """Splits an option's value, NAME=SOURCE, into the two."""
    name, equals, source = text.partition("=")
    if not (name and equals and source):
        raise ArgumentTypeError(f"{text!r} is not NAME=SOURCE")
    return name, source
