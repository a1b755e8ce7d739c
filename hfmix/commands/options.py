"""What the commands' options are read with."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import NoReturn, Protocol

from hfmix.errors import UsageError


class Parser(ArgumentParser):
    """A parser whose errors are one line, and whose options are written out."""

    def error(self, message: str) -> NoReturn:
        """Raises a UsageError."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **kwargs: object) -> ArgumentParser: ...


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
