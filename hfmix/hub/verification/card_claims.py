"""The claims of a card, checked against the report beside it."""

import csv
import math
import re
from collections import Counter
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard

from hfmix.data.kind_words import words_for
from hfmix.hub.card.baseline import BASELINE_FILE, load_baseline
from hfmix.hub.card.model_card import card_findings, card_table, dataset_name, eval_results, make_card
from hfmix.hub.upload.dataset_card import EVAL_FOLDER
from hfmix.hub.verification.claims import Claim
from hfmix.robustness.report import CSV_COLUMNS, RobustnessReport
from hfmix.utils.text import table_line

_TABLE, _LIMITS = "## How robust it is", "## Limits that the evaluation found"
_ROUNDING = 1e-9  # of floating-point sums in another order


def card_claims(run: Path, report: RobustnessReport) -> list[Claim]:
    """Checks the card's table, findings, model-index and the rest of its text, then the files beside it.

    The table, the findings and the model-index are written again from the report and have to be the same. In the
    rest of the text, a line that does not follow from the run's files fails if it holds a number, since nothing
    supports it, and is listed as not checked otherwise.
    """
    claims, file = [], run / "README.md"
    try:
        card = ModelCard(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        claims.append(_failed("card", f"its metadata cannot be read: {_short(error)}"))
    else:
        if card is None:
            return [Claim("card", None, None, None, "not checked", "there is no README.md")]
        claims += [_table(card, report, run), _findings(card, report), _model_index(card, report, run)]
        claims += _text(card, run)
    claims += [*_baseline(report, run), *_eval_results(report, run)]
    return claims + ([_csv(run, report)] if (run / "robustness.csv").is_file() else [])


def _table(card: ModelCard, report: RobustnessReport, run: Path) -> Claim:
    name = "card, its table"
    rows = [line.strip() for line in _section(card.text, _TABLE).splitlines() if line.startswith("|")]
    rows = [line for line in rows if set(line) - set("|- ")]
    try:
        expected = [table_line(row) for row in card_table(report, load_baseline(run))]
    except ValueError as error:
        return _failed(name, _short(error))
    for row, expected_row in zip(rows, expected, strict=False):
        if row != expected_row:
            return Claim(name, row, expected_row, None, "failed", "robustness.json says otherwise")
    if len(rows) != len(expected):
        return _failed(name, f"it has {len(rows)} rows, where robustness.json gives {len(expected)}")
    return _holds(name)


def _baseline(report: RobustnessReport, run: Path) -> list[Claim]:
    """Checks that the differences in ``baseline.json`` follow from its estimates, which are another model's."""
    try:
        baseline = load_baseline(run)
    except ValueError as error:
        return [_failed(BASELINE_FILE, _short(error))]
    if baseline is None:
        return []
    if baseline.get("fingerprint_sha256") != report.content["data"]["fingerprint_sha256"]:
        return [_failed(BASELINE_FILE, "it is of another test set")]
    estimates = dict(report.estimates())
    for path, difference in baseline["differences"].items():
        if path not in estimates or path not in baseline["figures"]:
            return [_failed(BASELINE_FILE, f"it has a difference at {_short(path)!r} without the two estimates")]
        expected = estimates[path]["value"] - baseline["figures"][path]["value"]
        low, high = difference["ci95"]
        if not (
            math.isclose(difference["value"], expected, abs_tol=_ROUNDING) and low <= difference["value"] <= high
        ):
            return [_failed(BASELINE_FILE, f"the two estimates at {_short(path)!r} differ by {expected:.4g}")]
    return [Claim(BASELINE_FILE, None, None, None, "not checked", "its estimates are of a model that is not here")]


def _eval_results(report: RobustnessReport, run: Path) -> list[Claim]:
    """Checks that the files for benchmarks' leaderboards give the accuracy of the report."""
    claims = []
    accuracy = report.axes.get("clean", {}).get("accuracy", {}).get("value")
    for file in sorted((run / EVAL_FOLDER).glob("*.yaml")):
        name = file.relative_to(run).as_posix()
        try:
            values = [entry["value"] for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            claims.append(_failed(name, f"it cannot be read: {_short(error)}"))
            continue
        wrong = [value for value in values if accuracy is None or value != round(accuracy, 6)]
        claims.append(_failed(name, f"robustness.json does not say {wrong[0]!r}") if wrong else _holds(name))
    return claims


def _findings(card: ModelCard, report: RobustnessReport) -> Claim:
    name = "card, its findings"
    findings = re.findall(r"^- (.+)$", _section(card.text, _LIMITS), re.MULTILINE)
    expected = card_findings(report)
    if unsupported := Counter(findings) - Counter(expected):
        return _failed(name, f"robustness.json does not say {_short(next(iter(unsupported)))!r}")
    if missing := Counter(expected) - Counter(findings):
        return _failed(name, f"it leaves out {_short(next(iter(missing)))!r}")
    return _holds(name)


def _model_index(card: ModelCard, report: RobustnessReport, run: Path) -> Claim:
    name = "card, its model-index"
    results = card.data.eval_results or []
    data = _dataset_name(card, run)
    if data is None and results:
        return _failed(name, f"it is of {_short(results[0].dataset_type)!r}, which recipe.yaml does not name")
    expected = eval_results(report, data or "", words_for(report.content["data"]["kind"]).task)
    claimed, supported = (Counter(map(_entry, entries)) for entries in (results, expected))
    for entries, why in ((claimed - supported, "says"), (supported - claimed, "lacks")):
        for *_, config, _, _, metric, value in entries:
            return _failed(name, f"it {why} {_short(metric)} {value} on {_short(config)}, against robustness.json")
    return _holds(name)


def _text(card: ModelCard, run: Path) -> list[Claim]:
    """Checks the lines of the card that do not follow from the run's files."""
    name = "card, the rest of its text"
    title = card.data.model_name or run.name
    try:
        expected = make_card(run, title, _dataset_name(card, run)).text
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [Claim(name, None, None, None, "not checked", f"it cannot be written again: {_short(error)}")]
    added = list((Counter(_lines(card.text)) - Counter(_lines(expected))).keys())
    for line in added:
        if re.search(r"\d", line):
            return [_failed(name, f"the run's files do not say {_short(line)!r}")]
    if added:
        return [Claim(name, None, None, None, "not checked", f"not written by hfmix: {_short(added[0])!r}")]
    return [_holds(name)]


def _csv(run: Path, report: RobustnessReport) -> Claim:
    name = "robustness.csv"
    with (run / name).open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    expected = [
        [path.partition("/")[0], path, *map(str, (estimate["value"], *estimate["ci95"], estimate["n"]))]
        for path, estimate in report.estimates()
    ]
    if rows == [list(CSV_COLUMNS), *expected]:
        return _holds(name)
    return _failed(name, "robustness.json says otherwise")


def _dataset_name(card: ModelCard, run: Path) -> str | None:
    """Returns the card's name of the data, if the recipe agrees; a folder's name is the last part of its path."""
    names = {result.dataset_type for result in card.data.eval_results or ()}
    try:
        recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
        name = dataset_name(recipe)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return names.pop() if len(names) == 1 else None
    known = {name, Path(name).name}
    return name if not names else names.pop() if len(names) == 1 and names <= known else None


def _entry(result: EvalResult) -> tuple[object, ...]:
    """Returns what has to be equal for two entries of a model-index to be the same."""
    value = result.metric_value
    value = round(value, 6) if isinstance(value, int | float) else str(value)
    place = (result.task_type, result.dataset_name, result.dataset_config, result.dataset_split)
    return (*place, result.metric_type, result.metric_name, value)


def _section(text: str, heading: str) -> str:
    return text.partition(heading)[2].partition("\n## ")[0]


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _short(content: object) -> str:
    text = " ".join(str(content).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _holds(name: str) -> Claim:
    return Claim(name, None, None, None, "holds", "as robustness.json says")


def _failed(name: str, why: str) -> Claim:
    return Claim(name, None, None, None, "failed", why)
