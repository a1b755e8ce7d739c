"""A run beside another one, most often the same recipe without mixing, on the same test examples."""

import json
from pathlib import Path
from typing import Any

from hfmix.robustness.comparison import differing_bases
from hfmix.robustness.presentation import headline_estimates
from hfmix.robustness.report import RobustnessReport

BASELINE_FILE = "baseline.json"


def write_baseline(report: RobustnessReport, baseline: str | Path, folder: Path) -> None:
    """Writes what `compare_with` gives into the folder of the report's run; errors as there."""
    content = compare_with(report, baseline)
    (folder / BASELINE_FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def compare_with(report: RobustnessReport, baseline: str | Path) -> dict[str, Any]:
    """The baseline's headline figures, and how the report's differ from them.

    Returns:
        ``name`` of the baseline's folder, ``policy`` (its name, None where it is not known),
        ``fingerprint_sha256`` of the test set, ``figures`` and ``differences`` (the report's minus the baseline's,
        with the intervals of `paired_differences`; none without predictions), by path in a report.

    Raises:
        ValueError: there is no report in the folder, or it is of different data.
    """
    from hfmix.robustness.paired import paired_differences

    folder = Path(baseline)
    other = RobustnessReport.load(folder)
    name = folder.resolve().name
    if differing := differing_bases(report, other):
        raise ValueError(
            f"the baseline {name} was measured on different {differing[0]}: their figures don't compare"
        )
    theirs = dict(other.estimates())
    paths = [how.path for how in headline_estimates(report.axes) if how.path in theirs]
    paired = {}
    if report.predictions is not None and other.predictions is not None:
        paired = paired_differences(other.predictions, report.predictions, other.content["seed"])
    return {
        "name": name,
        "policy": _policy_of(folder),
        "fingerprint_sha256": other.content["data"]["fingerprint_sha256"],
        "figures": {path: theirs[path] for path in paths},
        "differences": {path: paired[path] for path in paths if path in paired},
    }


def load_baseline(run: Path) -> dict[str, Any] | None:
    """What `write_baseline` left in a run's folder; None where there is none.

    Raises:
        ValueError: it is not put together as hfmix writes it.
    """
    file = run / BASELINE_FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        figures = [*content["figures"].values(), *content["differences"].values()]
        numbers = [number for found in figures for number in (found["value"], *found["ci95"])]
        whole = all(type(number) in (int, float) for number in numbers)
        if not whole or any(len(found["ci95"]) != 2 for found in figures):
            raise TypeError("a figure is no number with an interval")
        if not (isinstance(content["name"], str) and isinstance(content["policy"], str | None)):
            raise TypeError("its name or its policy is no text")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is not put together as hfmix writes it: {error}") from error
    return content


def _policy_of(run: Path) -> str | None:
    file = run / "train_results.json"
    return json.loads(file.read_text(encoding="utf-8"))["policy"]["name"] if file.is_file() else None
