"""A report as one HTML page that needs no other file and no script."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hfmix.data.kind_words import words_for
from hfmix.robustness.axes.ood_scores import SCORES
from hfmix.robustness.estimates import is_estimate
from hfmix.robustness.presentation.base import CONVENTIONS, convention_of
from hfmix.robustness.presentation.findings import findings
from hfmix.robustness.presentation.headlines import headlines
from hfmix.robustness.report import RobustnessReport

TEMPLATE = Path(__file__).with_name("report_template.html")
_TITLES = {
    "clean": "Clean input",
    "calibration": "Calibration",
    "selective": "Selective prediction",
    "corruptions": "Corrupted input",
    "shift": "Shifted input",
    "ood": "Out-of-distribution input",
    "adversarial": "Adversarial input",
    "interpolation": "In between examples",
    "memorization": "Wrong labels, and what was learnt of them",
    "ood_groups": "Groups of out-of-distribution sets",
    "ood_full_spectrum": "Out-of-distribution input against clean and shifted input",
}
_QUIRK_OF_ALL = {"all": "all corruptions"}
_MAX_CLASSES = 50  # more rows than these nobody reads


@dataclass(frozen=True)
class Table:
    """Figures by row and column; a cell is None where there is no figure.

    Attributes:
        title: what its rows are; empty where the section's title says it.
        columns: above the cells; a single empty one has no head.
        rows: name and cells.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list["Cell | None"]]]


@dataclass(frozen=True)
class Cell:
    """A figure as it is shown, with its full value."""

    value: float
    shown: str
    interval: str
    n: int


def page(report: RobustnessReport, figures: Mapping[str, Sequence[Path]]) -> str:
    """The page.

    Args:
        report: of `evaluate_robustness`.
        figures: axis to the PNG files that `draw_report` drew, which the page embeds.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found = dict(report.estimates())
    used = {name for path in found if (name := convention_of(path))}
    scores = {part for path in found for part in path.split("/") if part in SCORES}
    corruptions = report.axes.get("corruptions", {})
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        content=report.content,
        examples=words_for(report.content["data"]["kind"]).examples,
        headlines=headlines(report),
        findings=findings(report),
        sections=[
            {
                "title": _TITLES.get(axis, words(axis)),
                "axis": axis,
                "tables": tables(content, axis),
                "figures": [(words(path.stem), _data_uri(path)) for path in figures.get(axis, ())],
                "by_class": _by_class(content, report.content["data"]["class_names"]),
            }
            for axis, content in report.axes.items()
        ],
        applied=corruptions.get("applied"),
        adversarial=report.axes.get("adversarial"),
        interpolation=report.axes.get("interpolation"),
        mode=corruptions.get("mode"),
        quirks={
            words(_QUIRK_OF_ALL.get(name, name)): text for name, text in corruptions.get("quirks", {}).items()
        },
        frost=corruptions.get("frost"),
        temperature=report.axes.get("calibration", {}).get("temperature_scaled", {}).get("temperature"),
        groups={name: group["sets"] for name, group in report.axes.get("ood_groups", {}).items()},
        fingerprints={
            "test set": report.content["data"]["fingerprint_sha256"],
            **{
                f"{kind} {words(name)}": found["fingerprint_sha256"]
                for axis, kind in (("shift", "shifted set"), ("ood", "OOD set"))
                for name, found in report.axes.get(axis, {}).items()
            },
        },
        conventions=[(words(name), unit, text) for name, (unit, text) in CONVENTIONS.items() if name in used],
        scores=[(words(name), score.words) for name, score in SCORES.items() if name in scores],
        missing_scores=_missing_scores(report.axes.get("ood", {})),
    )


def tables(node: Mapping[str, Any], path: str, title: str = "") -> list[Table]:
    """All figures under a node of a report: those beside each other as rows, families of them as a grid.

    Args:
        node: of `RobustnessReport.axes`.
        path: of the node, with slashes, which says the figures' units.
        title: of its tables.
    """
    own = {key: child for key, child in node.items() if is_estimate(child)}
    found = []
    if own:
        rows = [(words(key), [_cell(child, f"{path}/{key}")]) for key, child in own.items()]
        found.append(Table(title, [""], rows))
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
            found += tables(own, f"{path}/{name}", f"{title}: {words(name)}" if title else words(name))
            continue
        rows = [
            (words(name), [_cell(row[column], f"{path}/{name}/{column}") for column in columns])
            for name, row in rows_by_name.items()
        ]
        found.append(Table(title, [words(column) for column in columns], rows))
    for key, child in deeper:
        # what the grid above holds already is not shown again
        rest = {name: grandchild for name, grandchild in child.items() if not is_estimate(grandchild)}
        found += tables(rest, f"{path}/{key}", f"{title}: {words(key)}" if title else words(key))
    return found


def words(name: str) -> str:
    """A name of a report as it is read."""
    return name.replace("_", " ")


def _holds_estimates(node: Any) -> bool:
    """Whether there are figures below, and not the node itself."""
    return isinstance(node, dict) and any(is_estimate(child) or _holds_estimates(child) for child in node.values())


def _cell(found: Mapping[str, Any], path: str) -> Cell:
    percent = CONVENTIONS.get(convention_of(path) or "", ("",))[0] == "%"

    def show(value: float) -> str:
        return f"{100 * value:.2f}" if percent else f"{value:.4g}"

    low, high = found["ci95"]
    unit = " %" if percent else ""
    return Cell(found["value"], show(found["value"]) + unit, f"[{show(low)}, {show(high)}]", found["n"])


def _by_class(content: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, Cell]]:
    """The accuracy of each class, lowest first; only the lowest where there are very many."""
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


def _missing_scores(ood: Mapping[str, Any]) -> dict[str, str]:
    return {words(name): why for found in ood.values() for name, why in found.get("left_out", {}).items()}


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
