"""The floor plan: which room may import which, without circles between files, and which rooms stay light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import ROOT

# from the ground up: a room imports itself, its neighbours on its floor, and all below
FLOORS = (
    ("utils", "run_folder"),
    ("mixing", "metrics"),
    ("losses",),
    ("data", "models"),
    ("robustness",),
    ("training", "hub"),
    ("recipe", "train", "sweep"),
    ("cli",),
)
# rooms with a rule of their own
MAY_IMPORT = {
    "utils": {"utils"},
    "run_folder": set(),
    "mixing": {"mixing", "utils"},
    "metrics": {"metrics", "utils"},
    "toys": {"toys", "utils", "mixing", "losses", "robustness.presentation.style"},
    "cli": {"cli", "toys", *(room for floor in FLOORS for room in floor)},
    "_registration": set(),
    "__main__": {"cli"},
}
# what the light rooms import beside Python; only these files, which no other imports at its head, need more
LIGHT = {"torch", "numpy", "hfmix"}
HEAVIER = {"hfmix.mixing.kernels.fused": {"triton"}, "hfmix.metrics.wrappers": {"datasets", "evaluate"}}


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        name: dotted, such as "hfmix.utils.text" or "torch.nn".
        deferred: whether a function imports it, when it is called.
    """

    name: str
    deferred: bool


def dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(file): file for file in sorted((ROOT / "hfmix").rglob("*.py"))}


def imports_of(file: Path) -> Iterator[Import]:
    """Every import in a file, those under TYPE_CHECKING and in functions too."""

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield Import(submodule if submodule in FILES else node.module, deferred)
        deferred |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deferred)

    return visit(ast.parse(file.read_text(encoding="utf-8")), False)


IMPORTS = {name: set(imports_of(file)) for name, file in FILES.items()}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_in(module: str, place: str) -> bool:
    return f"{module}.".startswith(f"hfmix.{place}.")


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of two nodes or more, and nodes with an edge to themselves (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            members = [stack.pop()]
            while members[-1] != node:
                members.append(stack.pop())
            if len(members) > 1 or node in graph[node]:
                found.append(sorted(members))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def test_a_circle_would_be_found():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"d"}, "e": {"a"}}
    assert sorted(circles(graph)) == [["a", "b", "c"], ["d"]]


def test_no_files_import_each_other_in_a_circle():
    graph = {
        name: {imported.name for imported in imports if imported.name in FILES}  # those in functions too
        for name, imports in IMPORTS.items()
    }
    assert sum(map(len, graph.values())) > 500  # the imports were found
    assert circles(graph) == []


@pytest.mark.parametrize("room", sorted({room_of(name) for name in FILES} - {""}))
def test_a_room_imports_its_own_floor_and_those_below(room):
    below: set[str] = set()
    for floor in FLOORS:
        below.update(floor)
        if room in floor:
            break
    else:
        assert room in MAY_IMPORT, f"hfmix.{room} has no place in the plan"
    allowed = MAY_IMPORT.get(room, below)
    wrong = [
        f"{name} imports {imported.name}"
        for name in FILES
        if room_of(name) == room
        for imported in IMPORTS[name]
        if imported.name in FILES and imported.name != "hfmix"
        if not any(is_in(imported.name, place) for place in allowed)
    ]
    assert wrong == []


def test_only_what_runs_a_recipe_imports_it():
    users = {name for name, imports in IMPORTS.items() if any(i.name == "hfmix.recipe" for i in imports)}
    assert users and all(room_of(name) in ("cli", "train", "sweep") for name in users)


@pytest.mark.parametrize("room", ["mixing", "metrics"])
def test_mixing_and_metrics_import_torch_and_numpy_only(room):
    foreign = {
        f"{name} imports {imported.name}"
        for name in FILES
        if room_of(name) == room
        for imported in IMPORTS[name]
        if not imported.deferred
        if imported.name.split(".")[0] not in {*sys.stdlib_module_names, *LIGHT, *HEAVIER.get(name, ())}
        or imported.name in HEAVIER
    }
    assert foreign == set()


def test_presentation_imports_neither_torch_nor_the_report():
    wrong = [
        f"{name} imports {imported.name}"
        for name in FILES
        if is_in(name, "robustness.presentation")
        for imported in IMPORTS[name]
        if imported.name.split(".")[0] == "torch" or is_in(imported.name, "robustness.report")
    ]
    assert wrong == []


def test_presentation_needs_no_torch():
    modules = sorted(name for name in FILES if is_in(name, "robustness.presentation"))
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = run.stdout.split()
    assert "hfmix.robustness.presentation" in loaded and "torch" not in loaded
