"""Reading CSV files as a data set, however they are separated, encoded and headed."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from hfmix.data.sources.csv_cells import looks_like_number, settled, typed_column, with_points_between_thousands
from hfmix.data.sources.csv_rows import CsvLayout, CsvRows, CsvText
from hfmix.utils.text import listed

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".test", ".dat")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEEN = 1000  # rows that tell the separator and whether there are names
_CELLS = 10_000  # and cells of which the share of numbers is taken


def read_csv(files: Sequence[str]) -> CsvRows:
    """Reads CSV files with the same columns into one data set.

    The separator is a comma, a semicolon, a tab, a bar or blanks, whichever gives rows of one length. The first
    line names the columns unless it looks like a row; then they are called f0, f1, … A cell that is empty or holds
    ``?``, ``NA``, ``NaN`` or ``null`` is missing. A column whose known cells are all numbers holds numbers; commas
    as decimal marks and separated thousands are read where only one reading is possible.

    Raises:
        ValueError: a file is not CSV, or its columns differ from those of the first file; there are no rows; or a
            cell or the first line can be read in two ways.
    """
    try:
        texts = [_read_text(file) for file in files]
    except csv.Error as error:
        raise ValueError(f"{', '.join(files)} cannot be read as CSV: {error}") from error
    cells, notes = [], []
    for file, (table, layout, own_notes) in zip(files, texts, strict=True):
        if table.column_names != texts[0][0].column_names:
            raise ValueError(
                f"{file} has other columns than {files[0]}: all files of a split must have the same columns; put "
                f"other data in files or folders of their own"
            )
        cells.append((table, layout))
        notes += own_notes
    text = pa.concat_tables([table for table, _ in cells])
    if not len(text):
        raise ValueError(f"no rows in {', '.join(files)}")
    name = ", ".join(Path(file).name for file in files)
    columns = {column: typed_column(text.column(column)) for column in text.column_names}
    marks = {typed.mark for typed in columns.values()} - {None, "either"}
    with_commas = any(layout.separator == "," for _, layout in cells)
    for column, typed in columns.items():
        if typed.mark == "either":
            columns[column] = settled(text.column(column), column, name, marks, with_commas)
        elif marks == {"decimal comma"} and typed.mark is None:
            columns[column] = with_points_between_thousands(text.column(column)) or typed
    for what, mark in (
        ("a comma is the decimal mark", "decimal comma"),
        ("the marks between thousands are left out", "thousands"),
    ):
        if marked := [column for column, typed in columns.items() if typed.mark == mark]:
            notes.append(f"{name}: {what} in {_columns(marked)}")
    table = pa.table({column: typed.cells for column, typed in columns.items()})
    layouts = tuple((layout, len(table)) for table, layout in cells)
    return CsvRows(table, CsvText(text, layouts, tuple(notes)))


def is_csv(file: str | Path) -> bool:
    """Returns whether a file's name says that it is a table in text, CSV or as UCI has it."""
    return Path(file).suffix.lower() in SUFFIXES


def _read_text(file: str) -> tuple[pa.Table, CsvLayout, list[str]]:
    """Reads a file as strings without the blanks around them, null where nothing is left."""
    name, notes = Path(file).name, []
    text, encoding = _decoded(file, notes)
    lines = re.split("\r\n|\r|\n", text)
    if not any(line.strip() for line in lines):
        raise ValueError(f"no rows in {file}")
    separator, width = _separator(lines, file)
    skipped = _titles(lines, separator, width)
    if titles := [repr(line) for line in lines[:skipped] if line.strip()]:
        notes.append(f"{name}: {listed(titles)} at its top is no row and is left out")
    if separator != ",":
        notes.append(f"{name}: {_SEPARATORS.get(separator, 'blanks')} separate its cells")
    first = next(csv.reader([line for line in lines[skipped:] if line.strip()], delimiter=separator))
    layout = CsvLayout(file, encoding, separator, skipped)
    body = (
        "\n".join(lines[skipped:]) if separator != " " else "\n".join(" ".join(x.split()) for x in lines[skipped:])
    )
    table = _parsed(body, layout, len(first))
    trimmed = [_trimmed(column) for column in table.columns]
    blanks = sum(not column.equals(cells) for column, cells in zip(trimmed, table.columns, strict=True))
    if blanks:
        notes.append(
            f"{name}: the blanks around the cells of {blanks} column{'s' if blanks > 1 else ''} are left out"
        )
    rows = [pc.replace_with_mask(c, pc.equal(c, ""), pa.scalar(None, pa.string())) for c in map(_flat, trimmed)]
    has_names = _has_names(rows, file)
    if has_names:
        names = _names([column[0].as_py() for column in rows], file, notes)
        rows = [column[1:] for column in rows]
    else:
        names = [f"f{i}" for i in range(len(rows))]
        notes.append(f"{name} begins with a row, not with names: its columns are called f0, f1, …")
    columns = dict(zip(names, rows, strict=True))
    if empty := [c for c, cells in columns.items() if len(cells) and cells.null_count == len(cells)]:
        notes.append(f"{name}: {_columns(empty)} {'is' if len(empty) == 1 else 'are'} empty")
    if unnamed := [c for c in empty if c.startswith("Unnamed: ")]:  # as a separator at the end of lines leaves one
        columns = {c: cells for c, cells in columns.items() if c not in unnamed}
    layout = CsvLayout(file, encoding, separator, skipped, has_names)
    return pa.table(columns), layout, notes


def _trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Leaves out the blanks around cells, and quotes that stood behind blanks."""
    cells = pc.utf8_trim_whitespace(column)
    if cells.equals(column):
        return column
    return pc.replace_substring_regex(cells, '^"(.*)"$', r"\1")


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _decoded(file: str, notes: list[str]) -> tuple[str, str]:
    """Returns a file's text and its encoding: UTF-8, UTF-16 with a mark, or Windows' if it is neither."""
    content, name = Path(file).read_bytes(), Path(file).name
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        notes.append(f"{name} is in UTF-16")
        return _decode(content, "utf-16", file), "utf-16"
    if b"\0" in content[:10_000]:
        raise ValueError(f"{file} is not a CSV file: it holds bytes that are no text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        notes.append(
            f"{name} is not in UTF-8 (line {line} holds the byte 0x{content[error.start]:02x}) and is read as "
            f"Latin-1"
        )
        return _decode(content, "latin-1", file), "latin-1"
    if content.startswith(b"\xef\xbb\xbf"):
        notes.append(f"{name}: the byte order mark at its beginning is left out")
    return text, "utf-8-sig"


def _decode(content: bytes, encoding: str, file: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from error


def _separator(lines: Sequence[str], file: str) -> tuple[str, int]:
    """Returns the separator and the number of cells of most rows.

    That which gives most rows the same number of cells, of at least two; then that which gives the first line, the
    names, as many; then that which gives the most numbers.

    Raises:
        ValueError: none gives rows of several cells.
    """
    if stated := re.fullmatch(r"sep=(.)", lines[0].strip().strip('"') or lines[0]):  # as Excel writes it
        lines = lines[1:]
    seen = [line for line in lines[:_SEEN] if line.strip()]
    best = None
    for separator in [stated[1]] if stated else _SEPARATORS:
        rows = [row for row in csv.reader(seen, delimiter=separator) if row]
        width, count = Counter(map(len, rows)).most_common(1)[0]
        cells = [cell for row in rows for cell in row][:_CELLS]
        numbers = sum(bool(looks_like_number(cell.strip())) for cell in cells) / len(cells)
        score = (width > 1, round(count / len(rows), 1), len(rows[0]) == width, numbers, width)
        if width > 1 and (best is None or score > best[0]):
            best = score, separator, width
    if best is not None:
        return best[1], best[2]
    widths = {len(line.split()) for line in seen}
    if len(widths) == 1 and (width := widths.pop()) > 1 and len(seen) > 1:
        return " ", width
    raise ValueError(
        f"{file} is not a CSV file of several columns: no comma, semicolon, tab or bar separates its cells"
    )


def _titles(lines: Sequence[str], separator: str, width: int) -> int:
    """Counts the lines before the names or the first row: Excel's ``sep=``, a title, a comment, empty ones."""
    for skipped, line in enumerate(lines[:10]):
        cells = next(csv.reader([line], delimiter=separator), [])
        if line.strip() and not line.startswith("sep=") and (len(cells) == width or sum(map(bool, cells)) > 1):
            return skipped
    return 0


def _parsed(body: str, layout: CsvLayout, width: int) -> pa.Table:
    """Parses rows of `width` cells as strings.

    Raises:
        ValueError: a row has more or fewer cells; the message names its line.
    """
    names = [f"f{i}" for i in range(width)]
    content = body.encode()
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            # one block: a row may be of any length
            arrow_csv.ReadOptions(block_size=len(content) + 1, column_names=names),
            arrow_csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, OverflowError) as error:
        reader = csv.reader(io.StringIO(body), delimiter=layout.separator)
        line = 1
        for cells in islice(reader, 10**7):
            if cells and len(cells) != width:
                raise ValueError(
                    f"{layout.file} has {len(cells)} cells on line {layout.skipped + line} and {width} on its "
                    f"first: every row needs as many, and a cell that holds {layout.separator!r} stands in quotes"
                ) from error
            line = reader.line_num + 1
        raise ValueError(f"{layout.file} is not a CSV file: {' '.join(str(error).split())}") from error


def _has_names(columns: Sequence[pa.Array], file: str) -> bool:
    """Tells whether the first row holds names instead of values.

    It holds values if a cell is a number, or if all its cells come again in their columns.

    Raises:
        ValueError: it could be both: its numbers count from 0 or 1, as names do that a program gave, or a word in
            it comes only there, while the other words of its column come several times.
    """
    first = [column[0].as_py() or "" for column in columns]
    rest = [column[1:_SEEN] for column in columns]
    numbers = [int(cell) if cell.isdecimal() else None for cell in first if looks_like_number(cell)]
    if not numbers:
        are_values = len(rest[0]) > 1 and all(
            cell and pc.index(others, pa.scalar(cell)).as_py() >= 0
            for cell, others in zip(first, rest, strict=True)
        )
        return not are_values
    if not len(rest[0]):
        return False
    two_ways = len(numbers) > 1 and numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    for cell, others in zip(first, rest, strict=True):
        known = others.drop_null()
        if cell and not looks_like_number(cell) and len(known):
            are_words = not looks_like_number(known[0].as_py())
            distinct = len(known.unique())
            is_rare = pc.index(known, pa.scalar(cell)).as_py() < 0 and distinct <= min(20, len(known) // 3)
            two_ways |= is_rare or not are_words
    if two_ways:
        raise ValueError(
            f"the first line of {file} ({','.join(first[:8])}{',…' if len(first) > 8 else ''}) is either a row or "
            f"names that are numbers: write a line of names that begin with a letter above the rows, in its place "
            f"if these are names"
        )
    return False


def _names(first: Sequence[str | None], file: str, notes: list[str]) -> list[str]:
    """Returns the names of the columns; those without are called as pandas calls them.

    Raises:
        ValueError: two columns have the same name.
    """
    names = [name or f"Unnamed: {i}" for i, name in enumerate(first)]
    if unnamed := [name for name, given in zip(names, first, strict=True) if not given]:
        notes.append(f"{Path(file).name}: columns without a name are called {listed(unnamed)}")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{file} has {count} columns called {name!r}: give each its own name")
    return names


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {listed([repr(name) for name in names])}"
