"""CSV files as people and UCI write them: each layout to its cells, and what can be read in two ways refused."""

import pytest

from hfmix.data.sources.csv_files import read_csv
from hfmix.data.sources.csv_rows import named_rows

ADULT = "39, State-gov, 77516, <=50K\n50, ?, 83311, >50K\n38, Private, 1, <=50K\n"


def read(tmp_path, content, name="t.csv"):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("content", "columns", "note"),
    [
        ("x,y\n1,a\n2.5,b\n", {"x": [1.0, 2.5], "y": ["a", "b"]}, None),
        ('"a";"q"\n7,4;5\n7,88;5\n', {"a": [7.4, 7.88], "q": [5, 5]}, "a comma is the decimal mark in column 'a'"),
        ("a;b\n0,126;x\n1,234;y\n", {"a": [0.126, 1.234]}, "a comma is the decimal mark in column 'a'"),
        ("size;kind\n1,5;bear\n2,5;fox\n", {"size": [1.5, 2.5]}, "semicolons separate its cells"),
        ("1,5;2,5;a\n1,6;2;b\n3;4;a\n", {"f0": [1.5, 1.6, 3.0], "f1": [2.5, 2.0, 4.0]}, "semicolons separate"),
        ("a\tb\n1\tx, y\n2\tz\n", {"a": [1, 2], "b": ["x, y", "z"]}, "tabs separate its cells"),
        ("a|b\n1|x\n", {"a": [1], "b": ["x"]}, "bars separate its cells"),
        (
            "A1 6 x\nA2   48 y\nA1 12 x\n",
            {"f0": ["A1", "A2", "A1"], "f1": [6, 48, 12]},
            "blanks separate its cells",
        ),
        ("sep=;\na;b\n1;x\n", {"a": [1], "b": ["x"]}, "'sep=;' at its top is no row"),
        (b"\xef\xbb\xbfa,b\n1,x\n", {"a": [1], "b": ["x"]}, "byte order mark"),
        ("a,b\n1,x\n".encode("utf-16"), {"a": [1], "b": ["x"]}, "is in UTF-16"),
        (
            "a,b\n1,Zürich\n".encode("latin-1"),
            {"b": ["Zürich"]},
            "line 2 holds the byte 0xfc) and is read as Latin-1",
        ),
        ("a,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}, None),
        ('a, b\n1, "x"\n2, "y"\n', {"a": [1, 2], "b": ["x", "y"]}, "blanks around the cells of 1 column are"),
        (
            ADULT,
            {"f0": [39, 50, 38], "f1": ["State-gov", None, "Private"], "f3": ["<=50K", ">50K", "<=50K"]},
            "f0, f1",
        ),
        (
            "|1x3 Cross validator\n25, P, <=50K.\n38, Q, >50K.\n",
            {"f0": [25, 38]},
            "'|1x3 Cross validator' at its top",
        ),
        ("5.1,3.5,Iris-setosa\n7,8,virginica\n\n", {"f0": [5.1, 7.0]}, "begins with a row, not with names"),
        (
            "p,x,s,t\ne,x,s,t\ne,b,s,t\np,x,y,t\n",
            {"f0": ["p", "e", "e", "p"]},
            "begins with a row, not with names",
        ),
        (
            'a,b\n"1,234,567",x\n5,y\n',
            {"a": [1_234_567, 5]},
            "the marks between thousands are left out in column 'a'",
        ),
        ('a,b\n"1,234",x\n567,y\n', {"a": [1234, 567]}, "the marks between thousands"),
        ("a;p\n1.234;0,5\n2.345;0,7\n", {"a": [1234, 2345], "p": [0.5, 0.7]}, "the marks between thousands"),
        ("a;b\n1.234,5;x\n7,5;y\n", {"a": [1234.5, 7.5]}, "the marks between thousands"),
        ("a;b\n1 234,5;x\n7;y\n", {"a": [1234.5, 7.0]}, "the marks between thousands"),
        ("x,y,\n1,a,\n2,b,\n", {"x": [1, 2], "y": ["a", "b"]}, "column 'Unnamed: 2' is empty"),
        ("x,y\n99999999999999999999,a\n1,b\n", {"x": [1e20, 1.0]}, None),
        ("x,y\n+1,a\n.5,b\n-1e-3,?\n", {"x": [1.0, 0.5, -0.001], "y": ["a", "b", None]}, None),
        ("x,y\nTRUE,a\nfalse,b\n", {"x": [True, False]}, None),
        ("x,y\n?,a\nNA,b\n", {"x": [None, None]}, None),
    ],
)
def test_layouts(tmp_path, content, columns, note):
    rows = read(tmp_path, content)
    assert {name: list(rows[name]) for name in columns} == columns
    assert note is None or any(note in said for said in rows.source.notes), rows.source.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n1,a\n\n1,2,3\n", "t.csv has 3 cells on line 4 and 2 on its first"),
        ('x,y\n"a\nb",1\nc,2,3\n', "t.csv has 3 cells on line 4 and 2 on its first"),
        ('"a","b"\n"1",1,2\n', "has 3 cells on line 2 and 2 on its first"),
        ("a;b\n1,234;x\n2,345;y\n", "'1,234', whose comma is either a decimal mark or one between thousands"),
        ("0,1,2,label\n1.5,2,3,a\n", "is either a row or names that are numbers"),
        ("2019,2020,kind\n" + "1,2,a\n3,4,b\n" * 4, "is either a row or names that are numbers"),
        ("x,x,y\n1,2,3\n", "has 2 columns called 'x'"),
        ("x,y\n", "no rows in"),
        ("", "no rows in"),
        ("x\n1\n2\n", "is not a CSV file of several columns"),
        (b"PK\0\0\0,\n1,2\n", "holds bytes that are no text"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, message):
    with pytest.raises(ValueError) as error:
        read(tmp_path, content)
    assert message in str(error.value)


def test_rows_are_named_by_the_lines_of_their_file(tmp_path):
    """After empty lines, a cell of two lines and a title; in two files."""
    first = read(tmp_path, 'x,y\n\n"a\nb",1\nc,2\n\nd,3\n')
    assert named_rows(first, [0]) == "line 3 of t.csv" and named_rows(first, [1, 2]) == "lines 5 and 7 of t.csv"
    (tmp_path / "u.csv").write_text("x,y\ne,4\n")
    both = read_csv([str(tmp_path / "t.csv"), str(tmp_path / "u.csv")])
    assert named_rows(both, [1, 3]) == "line 5 of t.csv and line 2 of u.csv"
    assert named_rows(both.select([3]), [0]) == "row 0"
    untitled = read(tmp_path, "|title\n1,x\n2,y\n3,x\n")
    assert named_rows(untitled, [2]) == "line 4 of t.csv"
    assert both.text("y") == ["1", "2", "3", "4"] and both.typed("y") == [1, 2, 3, 4]
