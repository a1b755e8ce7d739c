"""Command-line options and settings: their spelling, and checks of their values."""

import json
from collections.abc import Iterable, Sequence
from typing import Any


def as_declared(argv: Sequence[str], options: Iterable[str]) -> list[str]:
    """Returns the command line with options spelled as in `options`: `-` and `_` within their names are alike.

    Values are left alone, as are unknown options and everything after a bare ``--``.
    """
    declared = {option.replace("_", "-"): option for option in options}
    end = argv.index("--") if "--" in argv else len(argv)
    spelled = []
    for argument in argv[:end]:
        name, equals, value = argument.partition("=")
        known = argument.startswith("--") and declared.get(name.replace("_", "-"))
        spelled.append(f"{known}{equals}{value}" if known else argument)
    return [*spelled, *argv[end:]]


def check_positive(arguments: Any, *names: str) -> None:
    """Raises a ValueError if one of these settings is given and below 1; it names the first."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is a whole number from 1, not {value}")


def as_mapping(name: str, value: dict | str | None) -> dict[str, Any] | None:
    """Returns a setting's mapping, read from JSON if it is a string (as on the command line); None if it is unset.

    Raises:
        ValueError: the value is not a mapping; the message calls the setting `name`.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'{name} is not JSON such as {{"key": 1}}, {error}: {value!r}') from error
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} is a mapping of keys to values, not {value!r}")
    return value
