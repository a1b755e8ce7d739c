"""The HTML page of a report, which needs no other file and no script."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hfmix.data.kind_words import words_for
from hfmix.robustness.estimates import Estimate, is_estimate, iter_estimates
from hfmix.robustness.presentation import CONVENTIONS, VIEWS, convention_of, headlines, sections, sentences
from hfmix.robustness.presentation.base import View, words

TEMPLATE = Path(__file__).with_name("report_template.html")
_MAX_CLASSES = 50  # nobody reads more rows


@dataclass(frozen=True)
class Table:
    """Estimates by row and column; a cell is None where there is no estimate.

    Attributes:
        title: describes the rows; empty where the section's title does.
        columns: heads of the columns; a single empty one is not shown.
        rows: name and cells of each row.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list["Cell | None"]]]


@dataclass(frozen=True)
class Cell:
    """An estimate as it is shown, with its full value."""

    value: float
    shown: str
    interval: str
    n: int


def page(content: Mapping[str, Any], figures: Mapping[str, Sequence[Path]]) -> str:
    """Returns the page.

    Args:
        content: `RobustnessReport.content`.
        figures: axis to the PNG files that `draw` wrote, which the page embeds.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    axes, data = content["axes"], content["data"]
    used = {name for path, _ in iter_estimates(axes) if (name := convention_of(path))}
    views = {axis: view for axis, view in VIEWS.items() if axis in axes}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        content=content,
        examples=words_for(data["kind"]).examples,
        headlines=headlines(axes),
        sentences=sentences(axes),
        sections=[_section(axis, axes[axis], figures.get(axis, ()), data["class_names"]) for axis in axes],
        fingerprints={
            "test set": data["fingerprint_sha256"],
            **{name: text for axis, view in views.items() for name, text in view.fingerprints(axes[axis]).items()},
        },
        conventions=[(words(name), unit, text) for name, (unit, text) in CONVENTIONS.items() if name in used],
        terms={name: text for axis, view in views.items() for name, text in view.terms(axes[axis]).items()},
        left_out={
            **content["left_out"],
            **{name: why for axis, view in views.items() for name, why in view.left_out(axes[axis]).items()},
        },
    )


def _section(
    axis: str, content: Mapping[str, Any], figures: Sequence[Path], class_names: Sequence[str]
) -> dict[str, Any]:
    view = dict(sections()).get(axis, View())
    return {
        "axis": axis,
        "title": view.title or words(axis),
        "notes": list(view.notes(content)),
        "tables": tables(content, axis),
        "figures": [(words(path.stem), _data_uri(path)) for path in figures],
        "by_class": _by_class(content, class_names),
    }


def tables(node: Mapping[str, Any], path: str, title: str = "") -> list[Table]:
    """Returns tables of all estimates under a node of a report: siblings as rows, families of them as a grid.

    Args:
        node: a node of `RobustnessReport.axes`.
        path: the node's path, with slashes, from which the estimates' units follow.
        title: the title of the tables.
    """
    own = {key: child for key, child in node.items() if is_estimate(child)}
    result = []
    if own:
        rows = [(words(key), [_cell(child, f"{path}/{key}")]) for key, child in own.items()]
        result.append(Table(title, [""], rows))
    families: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    deeper = []
    for key, child in node.items():
        if not isinstance(child, dict) or is_estimate(child):
            continue
        if columns := tuple(name for name, grandchild in child.items() if is_estimate(grandchild)):
            families.setdefault(columns, {})[key] = child
        if not columns or any(_holds_estimates(grandchild) for grandchild in child.values()):
            deeper.append((key, child))
    for columns, rows_by_name in families.items():
        if len(rows_by_name) == 1:
            ((name, row),) = rows_by_name.items()
            own = {column: row[column] for column in columns}
            result += tables(own, f"{path}/{name}", f"{title}: {words(name)}" if title else words(name))
            continue
        rows = [
            (words(name), [_cell(row[column], f"{path}/{name}/{column}") for column in columns])
            for name, row in rows_by_name.items()
        ]
        result.append(Table(title, [words(column) for column in columns], rows))
    for key, child in deeper:
        # what the grid above holds already is not shown again
        rest = {name: grandchild for name, grandchild in child.items() if not is_estimate(grandchild)}
        result += tables(rest, f"{path}/{key}", f"{title}: {words(key)}" if title else words(key))
    return result


def _holds_estimates(node: Any) -> bool:
    """Returns whether there are estimates below a node that is none itself."""
    return isinstance(node, dict) and any(is_estimate(child) or _holds_estimates(child) for child in node.values())


def _cell(estimate: Estimate, path: str) -> Cell:
    percent = CONVENTIONS.get(convention_of(path) or "", ("",))[0] == "%"

    def show(value: float) -> str:
        return f"{100 * value:.2f}" if percent else f"{value:.4g}"

    low, high = estimate["ci95"]
    unit = " %" if percent else ""
    return Cell(estimate["value"], show(estimate["value"]) + unit, f"[{show(low)}, {show(high)}]", estimate["n"])


def _by_class(content: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Cell]]:
    """Returns the accuracy of each class, lowest first; where there are very many classes, only the lowest."""
    by_class = content.get("accuracy_by_class")
    if by_class is None:
        return []
    columns = [by_class[key] for key in ("accuracy", "low", "high", "count")]
    # a head may have more classes than the data names
    known = [(row, name) for name, *row in zip(names, *columns, strict=False) if row[0] is not None]
    return [
        (name, Cell(row[0], f"{100 * row[0]:.2f} %", f"[{100 * row[1]:.2f}, {100 * row[2]:.2f}]", row[3]))
        for row, name in sorted(known)[:_MAX_CLASSES]
    ]


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
