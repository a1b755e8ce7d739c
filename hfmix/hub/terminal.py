"""Tables for a terminal, of text that others wrote."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells as lines, with the columns under each other; the last one is not padded."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def printable(text: object) -> str:
    """Text in one line in which control characters, and those that turn text around, are written out."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else ascii(char)[1:-1] for char in str(text)
    )
