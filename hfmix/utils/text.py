"""Text for Markdown and the terminal: escaping, tables, durations."""

import re
from collections.abc import Iterable, Mapping, Sequence

# what can begin emphasis, code, a link, HTML, a cell, a heading, an entity or a formula
_ACTIVE = re.compile(r"([\\`*\[\]<>|#~&$]|(?<![^\W_])_|_(?![^\W_]))")


def plain(text: str) -> str:
    """Returns text on one line, escaped so that Markdown and HTML show it as it is; underscores in words stay."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return _ACTIVE.sub(r"\\\1", one_line)


def for_metadata(text: str) -> str:
    """Returns text with spaces for Unicode's own line breaks, which PyYAML does not read back as it wrote them."""
    return re.sub("[\N{NEXT LINE}\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]", " ", text)


def table_line(cells: Iterable[str]) -> str:
    """Returns a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def unpadded_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells, the head first, as a Markdown table."""
    head, *others = rows
    return "".join(table_line(cells) + "\n" for cells in (head, ["---"] * len(head), *others))


def markdown_table(rows: Mapping[str, Mapping[str, str]], first: str = "run") -> str:
    """Returns a Markdown table with a row for each name, padded so that the source reads as a table too.

    Args:
        rows: name of each row to its cells by column; a missing cell is shown as –.
        first: the head of the column of names.
    """
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    cells = [[first, *titles], *([name, *(row.get(title, "–") for title in titles)] for name, row in rows.items())]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells)
    return "".join(table_line(row) + "\n" for row in padded)


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Returns rows of cells as lines with aligned columns, for a terminal; the last column is not padded."""
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
    """Returns text on one line, with control characters and those that reverse its direction written out."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else ascii(char)[1:-1] for char in str(text)
    )


def listed(items: Sequence[object], most: int = 5) -> str:
    """Returns items in a row, "a, b and c"; of more than `most`, the first and the number of the others."""
    shown = [str(item) for item in items[:most]]
    if len(items) > most:
        return f"{', '.join(shown)} and {len(items) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
