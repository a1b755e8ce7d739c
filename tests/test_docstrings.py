"""Docstrings open in plain English: functions with a verb, classes and modules with a noun phrase, no riddles."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from project import ROOT

RIDDLE = re.compile(r"(What|Its|Their|Of|Those|That|These|How|Whether|Where|Who|Which|Theirs)\b")
KINDS = (ast.Module, ast.ClassDef, ast.FunctionDef)


def docstrings(file: Path) -> Iterator[tuple[str, ast.AST, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, KINDS) and (text := ast.get_docstring(node)):
            yield f"{file.relative_to(ROOT)}:{getattr(node, 'name', '')}", node, text.partition("\n\n")[0]


ALL = [entry for file in sorted((ROOT / "hfmix").rglob("*.py")) for entry in docstrings(file)]


def test_no_docstring_opens_with_a_riddle_or_a_question():
    assert len(ALL) > 1000
    assert [f"{where}: {text}" for where, _, text in ALL if RIDDLE.match(text) or text.endswith("?")] == []


def test_functions_open_with_a_verb():
    """In the third person, "Returns …"; a property may be a noun phrase, and a method refer to its base's."""
    opening = re.compile(r"[A-Z][a-z]*s\b|See `|`")
    wrong = [
        f"{where}: {text}"
        for where, node, text in ALL
        if isinstance(node, ast.FunctionDef)
        and not opening.match(text)
        and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert wrong == []
