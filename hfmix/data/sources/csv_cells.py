"""The cells of a CSV column: strings to numbers, booleans or words, with what stands for a missing cell."""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A", "<NA>")
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|Inf|INF|infinity|Infinity)"
NUMBER = re.compile(_NUMBER)
_WHOLE = r"[-+]?\d+"
_COMMA = r"[-+]?\d*,\d+([eE][-+]?\d+)?"
_POINTS = r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?"  # 1.234.567,8
_COMMAS = r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"  # 1,234,567.8
_GAPS = r"[ '\x{a0}\x{2009}\x{202f}]"
_BLANKS = rf"[-+]?[1-9]\d{{0,2}}({_GAPS}\d{{3}})+([.,]\d+)?"
_ANY_NUMBER = re.compile(f"{_NUMBER}|{_COMMA}|{_POINTS}|{_COMMAS}")
Mark = Literal["decimal comma", "thousands", "either"]


@dataclass(frozen=True)
class TypedColumn:
    """A column with its type.

    Attributes:
        cells: int64, float64, bool or strings; null where a cell is missing.
        mark: what the numbers had to be freed of; "either" if that is still open.
    """

    cells: pa.ChunkedArray
    mark: Mark | None = None


def typed_column(text: pa.ChunkedArray) -> TypedColumn:
    """Converts a column of strings, with null for empty cells, to numbers if all known cells are numbers.

    If the commas in them can be decimal marks as well as marks between thousands, the cells stay strings, marked
    "either".
    """
    cells = missing_as_null(text, MISSING)
    known = cells.drop_null()
    if not len(known):
        return TypedColumn(pa.chunked_array([pa.nulls(len(cells))]))
    if _all(known, _NUMBER):
        return TypedColumn(as_numbers(cells))
    lower = pc.utf8_lower(known)
    if pc.all(pc.is_in(lower, pa.array(["true", "false"]))).as_py():
        return TypedColumn(pc.equal(pc.utf8_lower(cells), "true"))
    if _all(known, f"{_NUMBER}|{_COMMA}|{_COMMAS}|{_POINTS}|{_BLANKS}"):
        return _marked(cells, known)
    return TypedColumn(cells)


def missing_as_null(text: pa.ChunkedArray, missing: tuple[str, ...]) -> pa.ChunkedArray:
    """Replaces the cells that hold one of these words by null."""
    is_missing = pc.is_in(text, pa.array(missing, text.type))
    return pc.if_else(is_missing, pa.scalar(None, text.type), text)


def looks_like_number(cell: str) -> bool:
    """Returns whether a cell is a number, with any marks."""
    return _ANY_NUMBER.fullmatch(cell) is not None


def are_any_numbers(words: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Returns for each string whether it is a number, with any marks."""
    return pc.match_substring_regex(words, f"^({_NUMBER}|{_COMMA}|{_POINTS}|{_COMMAS})$")


def as_numbers(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Converts strings that are numbers: int64 if all are whole and fit, float64 otherwise."""
    plain = pc.replace_substring_regex(cells, r"^\+", "")
    if _all(plain.drop_null(), _WHOLE):
        try:
            return plain.cast(pa.int64())
        except pa.ArrowInvalid:  # too large
            pass
    return plain.cast(pa.float64())


def settled(text: pa.ChunkedArray, column: str, file: str, others: Set[Mark], with_commas: bool) -> TypedColumn:
    """Reads a column marked "either" by what tells its commas: other columns, or cells below 1000 without one.

    Args:
        text: the column's cells.
        column, file: their names in messages.
        others: the marks of the other columns.
        with_commas: whether commas separate the cells, so that one is hardly the decimal mark too.

    Raises:
        ValueError: nothing tells.
    """
    cells = missing_as_null(text, MISSING)
    known = cells.drop_null()
    plain = known.filter(pc.invert(pc.match_substring(known, ",")))
    if others == {"decimal comma"}:
        return TypedColumn(as_numbers(pc.replace_substring(cells, ",", ".")), "decimal comma")
    if others == {"thousands"} or (with_commas and len(plain) and _all(plain, r"[-+]?\d{1,3}")):
        return TypedColumn(as_numbers(pc.replace_substring(cells, ",", "")), "thousands")
    example = known.filter(pc.match_substring(known, ","))[0].as_py()
    raise ValueError(
        f"column {column!r} of {file} holds numbers such as {example!r}, whose comma is either a decimal mark or "
        f"one between thousands: write decimals with a point, and thousands without a mark"
    )


def with_points_between_thousands(text: pa.ChunkedArray) -> TypedColumn | None:
    """Reads whole numbers such as 1.234 as thousands, for a file with decimal commas; None for other columns."""
    cells = missing_as_null(text, MISSING)
    known = cells.drop_null()
    has_points = len(known) and pc.any(pc.match_substring(known, ".")).as_py()
    if not has_points or not _all(known, rf"{_POINTS}|[-+]?\d{{1,3}}"):
        return None
    return TypedColumn(as_numbers(pc.replace_substring(cells, ".", "")), "thousands")


def _marked(cells: pa.ChunkedArray, known: pa.ChunkedArray) -> TypedColumn:
    """Reads numbers with commas, or marks between thousands, where only one reading is possible."""

    def decimals(cells: pa.ChunkedArray, marks: str) -> pa.ChunkedArray:
        return as_numbers(pc.replace_substring(pc.replace_substring_regex(cells, marks, ""), ",", "."))

    has_points = pc.any(pc.match_substring(known, ".")).as_py()
    are_decimals = not has_points and _all(known, f"{_NUMBER}|{_COMMA}")
    are_thousands = _all(known, f"{_NUMBER}|{_COMMAS}")
    if are_decimals and are_thousands:
        return TypedColumn(cells, "either")
    if are_decimals:
        return TypedColumn(decimals(cells, "[.]"), "decimal comma")
    if are_thousands:
        return TypedColumn(as_numbers(pc.replace_substring(cells, ",", "")), "thousands")
    if _all(known, f"{_WHOLE}|{_COMMA}|{_POINTS}"):
        return TypedColumn(decimals(cells, "[.]"), "thousands")
    if _all(known, f"{_NUMBER}|{_COMMA}|{_BLANKS}"):
        return TypedColumn(decimals(cells, _GAPS), "thousands")
    return TypedColumn(cells)


def _all(known: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(known, f"^({pattern})$")).as_py())
