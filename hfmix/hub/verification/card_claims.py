"""Does a card say what the report beside it says?"""

import csv
import math
import re
from collections import Counter
from pathlib import Path

import yaml
from huggingface_hub import ModelCard

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
    """The card's table, its findings, its model-index and the rest of its text; then the CSV beside it.

    The table, the findings and the model-index are written anew from the report, and have to be the same. Of the
    rest, a line that the run's files do not give and that holds a number is a claim that nothing stands behind; a
    line without one is listed as not checked.
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
    said = [line.strip() for line in _section(card.text, _TABLE).splitlines() if line.startswith("|")]
    said = [line for line in said if set(line) - set("|- ")]
    try:
        found = [table_line(row) for row in card_table(report, load_baseline(run))]
    except ValueError as error:
        return _failed(name, _short(error))
    for line, other in zip(said, found, strict=False):
        if line != other:
            return Claim(name, line, other, None, "failed", "robustness.json says otherwise")
    if len(said) != len(found):
        return _failed(name, f"it has {len(said)} rows, where robustness.json gives {len(found)}")
    return _holds(name)


def _baseline(report: RobustnessReport, run: Path) -> list[Claim]:
    """Do the differences of ``baseline.json`` follow from its figures? The figures are another model's."""
    try:
        baseline = load_baseline(run)
    except ValueError as error:
        return [_failed(BASELINE_FILE, _short(error))]
    if baseline is None:
        return []
    if baseline.get("fingerprint_sha256") != report.content["data"]["fingerprint_sha256"]:
        return [_failed(BASELINE_FILE, "it is of another test set")]
    ours = dict(report.estimates())
    for path, difference in baseline["differences"].items():
        if path not in ours or path not in baseline["figures"]:
            return [_failed(BASELINE_FILE, f"it has a difference at {_short(path)!r} without the two figures")]
        theirs = baseline["figures"][path]
        between = ours[path]["value"] - theirs["value"]
        low, high = difference["ci95"]
        if not (
            math.isclose(difference["value"], between, abs_tol=_ROUNDING) and low <= difference["value"] <= high
        ):
            return [_failed(BASELINE_FILE, f"the two figures at {_short(path)!r} differ by {between:.4g}")]
    return [Claim(BASELINE_FILE, None, None, None, "not checked", "its figures are of a model that is not here")]


def _eval_results(report: RobustnessReport, run: Path) -> list[Claim]:
    """Do the files for benchmarks' leaderboards give the accuracy of the report?"""
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
    said = re.findall(r"^- (.+)$", _section(card.text, _LIMITS), re.MULTILINE)
    found = card_findings(report)
    if made_up := Counter(said) - Counter(found):
        return _failed(name, f"robustness.json does not say {_short(next(iter(made_up)))!r}")
    if kept_back := Counter(found) - Counter(said):
        return _failed(name, f"it leaves out {_short(next(iter(kept_back)))!r}")
    return _holds(name)


def _model_index(card: ModelCard, report: RobustnessReport, run: Path) -> Claim:
    name = "card, its model-index"
    said = card.data.eval_results or []
    data = _name_of_data(card, run)
    if data is None and said:
        return _failed(name, f"it is of {_short(said[0].dataset_type)!r}, which recipe.yaml does not name")
    found = eval_results(report, data or "", words_for(report.content["data"]["kind"]).task)
    both = [
        Counter(
            (
                r.task_type,
                r.dataset_name,
                r.dataset_config,
                r.dataset_split,
                r.metric_type,
                r.metric_name,
                _value(r),
            )
            for r in results
        )
        for results in (said, found)
    ]
    for ours, theirs, why in ((*both, "says"), (*both[::-1], "lacks")):
        for *_, config, _, _, metric, value in ours - theirs:
            return _failed(name, f"it {why} {_short(metric)} {value} on {_short(config)}, against robustness.json")
    return _holds(name)


def _text(card: ModelCard, run: Path) -> list[Claim]:
    """Lines that are not what the run's files give."""
    name = "card, the rest of its text"
    title = card.data.model_name or run.name
    try:
        again = make_card(run, title, _name_of_data(card, run)).text
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [Claim(name, None, None, None, "not checked", f"it cannot be written anew: {_short(error)}")]
    added = list((Counter(_lines(card.text)) - Counter(_lines(again))).keys())
    for line in added:
        if re.search(r"\d", line):
            return [_failed(name, f"the run's files do not say {_short(line)!r}")]
    if added:
        return [Claim(name, None, None, None, "not checked", f"not by hfmix: {_short(added[0])!r}")]
    return [_holds(name)]


def _csv(run: Path, report: RobustnessReport) -> Claim:
    name = "robustness.csv"
    with (run / name).open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    found = [
        [path.partition("/")[0], path, *map(str, (figure["value"], *figure["ci95"], figure["n"]))]
        for path, figure in report.estimates()
    ]
    return _holds(name) if rows == [list(CSV_COLUMNS), *found] else _failed(name, "robustness.json says otherwise")


def _name_of_data(card: ModelCard, run: Path) -> str | None:
    """What the card calls the data, where the recipe agrees; a folder's name is the last part of its path."""
    said = {result.dataset_type for result in card.data.eval_results or ()}
    try:
        recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
        name = dataset_name(recipe)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return said.pop() if len(said) == 1 else None
    known = {name, Path(name).name}
    return name if not said else said.pop() if len(said) == 1 and said <= known else None


def _value(result: object) -> float | str:
    value = result.metric_value
    return round(value, 6) if isinstance(value, int | float) else str(value)


def _section(text: str, heading: str) -> str:
    return text.partition(heading)[2].partition("\n## ")[0]


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _short(what: object) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _holds(name: str) -> Claim:
    return Claim(name, None, None, None, "holds", "as robustness.json says")


def _failed(name: str, why: str) -> Claim:
    return Claim(name, None, None, None, "failed", why)
