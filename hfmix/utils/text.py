"""Text from users and data sets in Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence

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


def unpadded_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells, the head first, as a Markdown table."""
    head, *others = rows
    return "".join(table_line(cells) + "\n" for cells in (head, ["---"] * len(head), *others))


def markdown_table(rows: Mapping[str, Mapping[str, str]], first: str = "run") -> str:
    """One row a run, one column a figure; cells padded so that the source reads as a table too."""
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    cells = [[first, *titles], *([name, *(row.get(title, "–") for title in titles)] for name, row in rows.items())]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "".join(table_line(row) + "\n" for row in padded)


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells as lines, with the columns under each other; the last one is not padded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """Returns a duration in seconds below two minutes, in minutes below two hours, and in hours from there."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def printable(text: object) -> str:
    """Text in one line in which control characters, and those that turn text around, are written out."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else ascii(char)[1:-1] for char in str(text)
    )
