"""Text from users and data sets in Markdown."""

import re
from collections.abc import Iterable

# what can begin emphasis, code, a link, HTML, a cell, a heading, an entity or a formula
_ACTIVE = re.compile(r"([\\`*\[\]<>|#~&$]|(?<![^\W_])_|_(?![^\W_]))")


def plain(text: str) -> str:
    """The text on one line, so that Markdown and HTML show it as it is; an underscore within a word stays one."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return _ACTIVE.sub(r"\\\1", one_line)


def for_metadata(text: str) -> str:
    """The text with spaces for Unicode's own line breaks, which PyYAML writes as they are and reads as others."""
    return re.sub("[\N{NEXT LINE}\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]", " ", text)


def table_line(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"
