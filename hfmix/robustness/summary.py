"""The handful of figures that a report comes down to, and reports side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hfmix.robustness.conventions import ATTACK_NAMES, BALL_NAMES
from hfmix.robustness.report import RobustnessReport

# title, where in the report, factor for display, digits, which way is better
_HEADLINES = (
    ("accuracy, %", ("clean", "accuracy"), 100, 1, "↑"),
    ("mean average precision, %", ("clean", "mean_average_precision"), 100, 1, "↑"),
    ("NLL", ("clean", "nll"), 1, 3, "↓"),
    ("ECE, %", ("calibration", "ece_15"), 100, 1, "↓"),
    ("corrupted accuracy, %", ("corruptions", "mean_accuracy"), 100, 1, "↑"),
    ("miss rate in between, %", ("interpolation", "miss_rate"), 100, 1, "↓"),
    ("best test error, %", ("memorization", "best_test_error"), 100, 1, "↓"),
    ("last test error, %", ("memorization", "last_test_error"), 100, 1, "↓"),
    ("training error on true labels, %", ("memorization", "train_error_true_labels"), 100, 1, "↓"),
    ("training error on wrong labels, %", ("memorization", "train_error_wrong_labels"), 100, 1, "↑"),
)
_DETECTION = (("AUROC, %", "auroc", "↑"), ("FPR95, %", "fpr95_ood_positive", "↓"))


class Headline(NamedTuple):
    """How a headline figure is shown.

    Attributes:
        title: with the unit, and an arrow that says which way is better.
        path: of the figure, as in `RobustnessReport.figures`.
        factor, digits: of the figure as text.
    """

    title: str
    path: str
    factor: float
    digits: int


def headline_figures(report: RobustnessReport) -> dict[Headline, dict[str, Any]]:
    """The headline figures that the report has, in their order."""
    found = {}
    for title, (axis, key), factor, digits, better in _HEADLINES:
        if key in report.axes.get(axis, {}):
            found[Headline(f"{title} {better}", f"{axis}/{key}", factor, digits)] = report.axes[axis][key]
    for name, scores in report.axes.get("ood", {}).items():
        for title, key, better in _DETECTION:
            how = Headline(f"OOD {name} {title} {better}", f"ood/{name}/msp/{key}", 100, 1)
            found[how] = scores["msp"][key]
    adversarial = report.axes.get("adversarial", {})
    for norm, setting in adversarial.get("settings", {}).items():
        strongest = setting["attacks"][-1]
        for name, eps in setting["eps"].items():
            if eps > 0:
                title = f"{ATTACK_NAMES[strongest]} {BALL_NAMES[norm]} {name.replace('_of_', '/')} accuracy, % ↑"
                path = f"adversarial/{norm}/{strongest}/{name}/robust_accuracy"
                found[Headline(title, path, 100, 1)] = adversarial[norm][strongest][name]["robust_accuracy"]
    return found


def headlines(report: RobustnessReport) -> dict[str, str]:
    """Title to text, such as ``{"accuracy, % ↑": "98.9 [97.6, 99.5]"}``, for what the report measured."""
    return {how.title: show(found, how.factor, how.digits) for how, found in headline_figures(report).items()}


def headline(report: RobustnessReport) -> str:
    """`headlines` in one line."""
    return "; ".join(f"{title[:-2]} {text}" for title, text in headlines(report).items())


def show(found: Mapping[str, Any], factor: float = 1, digits: int = 3) -> str:
    """A figure with its 95 % interval."""
    low, high = found["ci95"]
    return f"{factor * found['value']:.{digits}f} [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"


def compare(runs: Sequence[str | Path], out: str | Path | None = None) -> str:
    """Reports of several runs side by side, as Markdown: a table, and one of the differences to the first run.

    The differences have paired 95 % intervals; see `paired_differences`. Where one of the two has no
    predictions, the text says so.

    Args:
        runs: folders with a ``robustness.json``.
        out: a folder that receives ``comparison.md``, ``comparison.png`` and ``comparison.json``, where a report
            that was compared with the first holds ``difference_to_first`` too.

    Raises:
        ValueError: no run is given, or a folder holds no report, or the runs were measured on different data.
    """
    if not runs:
        raise ValueError("give at least one run")
    paths = [Path(run) for run in runs]
    alike = len({path.name for path in paths}) < len(paths)
    reports = {str(path) if alike else path.name: RobustnessReport.load(path) for path in paths}
    _check_comparable(reports)
    differences = _differences(reports)
    text = markdown_table({name: headlines(report) for name, report in reports.items()})
    if len(reports) > 1:
        text += "\n" + _difference_text(reports, differences)
    if out is not None:
        from hfmix.robustness.figures.comparison import draw_comparison

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.md").write_text(text, encoding="utf-8")
        content = {name: report.to_dict() for name, report in reports.items()}
        for name, found in differences.items():
            content[name] = {**content[name], "difference_to_first": found}
        (folder / "comparison.json").write_text(json.dumps(content, indent=1) + "\n")
        draw_comparison(reports, folder / "comparison.png")
    return text


def _differences(reports: Mapping[str, RobustnessReport]) -> dict[str, dict[str, Any]]:
    """By run, for those that have predictions where the first has them too; of figures that both reports have."""
    from hfmix.robustness.paired import paired_differences

    (_, first), *others = reports.items()
    ours, found = dict(first.figures()), {}
    for name, other in others:
        if first.predictions is None or other.predictions is None:
            continue
        theirs = dict(other.figures())
        paired = paired_differences(first.predictions, other.predictions, first.content["seed"])
        found[name] = {path: paired[path] for path in ours if path in theirs and path in paired}
    return found


def _difference_text(reports: Mapping[str, RobustnessReport], differences: Mapping[str, Mapping[str, Any]]) -> str:
    """The second table, and which runs are not in it."""
    first, *others = reports
    shown = list(headline_figures(reports[first]))
    rows = {name: _shown_differences(differences[name], shown) for name in others if name in differences}
    text = ""
    if rows:
        text = f"Difference to {first}, with paired 95 % intervals (* where the interval excludes 0):\n\n"
        text += markdown_table(rows)
    if missing := [name for name in others if name not in differences]:
        text += "\n" if rows else ""
        text += f"No paired difference to {first} for {', '.join(missing)}: one of the two has no predictions.\n"
    return text


def _shown_differences(differences: Mapping[str, Any], shown: Sequence[Headline]) -> dict[str, str]:
    """The titles of `headlines` to text, such as ``{"accuracy, % ↑": "+0.6 [+0.1, +1.1] *"}``."""
    return {
        how.title: show_difference(differences[how.path], how.factor, how.digits)
        for how in shown
        if how.path in differences
    }


def show_difference(found: Mapping[str, Any], factor: float, digits: int) -> str:
    """A difference with its sign and its 95 % interval, and a * where that excludes 0."""
    low, high = found["ci95"]
    # + 0.0 makes -0.0 a 0
    value, low, high = (round(factor * number, digits) + 0.0 for number in (found["value"], low, high))
    mark = " *" if found["ci95"][0] > 0 or found["ci95"][1] < 0 else ""
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{mark}"


def _check_comparable(reports: Mapping[str, RobustnessReport]) -> None:
    first, *others = reports
    for other in others:
        for what in differing_bases(reports[first], reports[other]):
            raise ValueError(f"{first} and {other} were measured on different {what}: their figures don't compare")


def differing_bases(report: RobustnessReport, other: RobustnessReport) -> list[str]:
    """On what two reports were measured that is not the same for both, of what both have; none: they compare."""
    ours, theirs = _basis(report), _basis(other)
    return [what for what in ours if ours[what] != theirs[what] and None not in (ours[what], theirs[what])]


def _basis(report: RobustnessReport) -> dict[str, Any]:
    """What a report's figures rest on; None for an axis that it lacks."""
    corruptions, ood, attacked, between = (
        report.axes.get(axis) for axis in ("corruptions", "ood", "adversarial", "interpolation")
    )
    return {
        "test set": report.content["data"]["fingerprint_sha256"],
        "corruptions": corruptions
        and (
            report.content["seed"],
            corruptions["mean_accuracy"]["n"],
            sorted(corruptions["accuracy"]),
            *(corruptions.get(key) for key in ("mode", "frost")),
        ),
        "out-of-distribution sets": ood and {name: found["fingerprint_sha256"] for name, found in ood.items()},
        "attacks": attacked and (report.content["seed"], attacked["num_samples"], attacked["settings"]),
        "pairs": between and between["fingerprint_sha256"],
    }


def markdown_table(rows: Mapping[str, Mapping[str, str]], first: str = "run") -> str:
    """One row a run, one column a figure; cells padded so that the source reads as a table too."""
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    cells = [[first, *titles], *([name, *(row.get(title, "–") for title in titles)] for name, row in rows.items())]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "".join(f"| {line} |\n" for line in lines)
