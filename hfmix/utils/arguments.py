"""Settings that are mappings: YAML has them as such, the command line as JSON."""

import json
from typing import Any


def check_positive(arguments: Any, *names: str) -> None:
    """Raises a ValueError for the first of these settings that is given and below 1."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is a whole number from 1, not {value}")


def as_mapping(name: str, value: dict | str | None) -> dict[str, Any] | None:
    """The mapping, read from JSON where it is a string; None where it is not set.

    Raises:
        ValueError: it is no mapping; `name` says of what setting.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f'{name} is not JSON such as {{"key": 1}}, {error}: {value!r}') from error
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} is a mapping of keys to values, not {value!r}")
    return value
