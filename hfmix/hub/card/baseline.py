"""A run's baseline: another run on the same test examples, most often the same recipe without mixing."""

import json
from pathlib import Path
from typing import Any

from hfmix.robustness.comparison import differing_bases
from hfmix.robustness.presentation import headline_estimates
from hfmix.robustness.report import RobustnessReport

BASELINE_FILE = "baseline.json"


def write_baseline(report: RobustnessReport, baseline: str | Path, folder: Path) -> None:
    """Writes the result of `compare_with` to the folder of the report's run; raises the same errors."""
    content = compare_with(report, baseline)
    (folder / BASELINE_FILE).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def compare_with(report: RobustnessReport, baseline: str | Path) -> dict[str, Any]:
    """Compares a report's headline estimates with those of a baseline.

    Args:
        report: the run's report.
        baseline: the folder of the baseline's run.

    Returns:
        ``name`` of the baseline's folder, ``policy`` (its name, None where it is not known),
        ``fingerprint_sha256`` of the test set, ``figures`` (the baseline's estimates) and ``differences`` (the
        report's minus the baseline's, with the intervals of `paired_differences`; none without predictions), by
        path in a report.

    Raises:
        ValueError: the folder holds no report, or one that was measured on different data.
    """
    from hfmix.robustness.paired import paired_differences

    folder = Path(baseline)
    other = RobustnessReport.load(folder)
    name = folder.resolve().name
    if differing := differing_bases(report, other):
        raise ValueError(f"the baseline {name} was not measured on the same {differing[0]} and cannot be compared")
    estimates = dict(other.estimates())
    paths = [headline.path for headline in headline_estimates(report.axes) if headline.path in estimates]
    paired = {}
    if report.predictions is not None and other.predictions is not None:
        paired = paired_differences(other.predictions, report.predictions, other.content["seed"])
    return {
        "name": name,
        "policy": _policy_of(folder),
        "fingerprint_sha256": other.content["data"]["fingerprint_sha256"],
        "figures": {path: estimates[path] for path in paths},
        "differences": {path: paired[path] for path in paths if path in paired},
    }


def load_baseline(run: Path) -> dict[str, Any] | None:
    """Reads what `write_baseline` left in a run's folder; None where there is no such file.

    Raises:
        ValueError: the file does not have the form in which hfmix writes it.
    """
    file = run / BASELINE_FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        estimates = [*content["figures"].values(), *content["differences"].values()]
        numbers = [number for estimate in estimates for number in (estimate["value"], *estimate["ci95"])]
        numeric = all(type(number) in (int, float) for number in numbers)
        if not numeric or any(len(estimate["ci95"]) != 2 for estimate in estimates):
            raise TypeError("an estimate is not a number with an interval")
        if not (isinstance(content["name"], str) and isinstance(content["policy"], str | None)):
            raise TypeError("its name or its policy is not text")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} does not have the form in which hfmix writes it: {error}") from error
    return content


def _policy_of(run: Path) -> str | None:
    file = run / "train_results.json"
    return json.loads(file.read_text(encoding="utf-8"))["policy"]["name"] if file.is_file() else None
