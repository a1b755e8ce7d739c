"""A card that says more, less or something else than its report is found out."""

import json
import re
import shutil

import pytest

from hfmix import RobustnessReport
from hfmix.hub.verification.card_claims import card_claims


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy under another name, as a pulled run has."""
    shutil.copytree(finished_run, tmp_path / "pulled")
    return tmp_path / "pulled"


def verdicts(run) -> dict[str, str]:
    return {claim.name: claim.verdict for claim in card_claims(run, RobustnessReport.load(run))}


PARTS = {
    "card, its table": "holds",
    "card, its findings": "holds",
    "card, its model-index": "holds",
    "card, the rest of its text": "holds",
    "robustness.csv": "holds",
}


def test_a_card_as_hfmix_wrote_it_holds(run):
    assert verdicts(run) == PARTS


def more_accurate(text: str) -> str:
    return re.sub(r"\| accuracy, % ↑ \| [\d.]+", "| accuracy, % ↑ | 99.9", text)


def a_row_less(text: str) -> str:
    return re.sub(r"\| ECE, % ↓ .*\n", "", text)


def better_in_the_index(text: str) -> str:
    return re.sub(r"(value: )[\d.]+(\n *name: mean accuracy)", r"\g<1>0.99\2", text)


def an_easier_corruption(text: str) -> str:
    return text.replace("config: fog", "config: drizzle")


def another_data_set(text: str) -> str:
    return text.replace("type: digits", "type: imagenet-1k")


def no_index(text: str) -> str:
    return re.sub(r"model-index:\n(?:[- ].*\n)+", "", text)


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (more_accurate, {"card, its table", "card, the rest of its text"}),
        (a_row_less, {"card, its table"}),
        (lambda text: text.replace("measured on 60 ", "measured on 6000 "), {"table", "rest of its text"}),
        (lambda text: re.sub("hurts it most: accuracy .*", "hurts it most.", text), {"its findings"}),
        (lambda text: re.sub("- To notice .*\n", "", text), {"its findings"}),
        (better_in_the_index, {"its model-index"}),
        (an_easier_corruption, {"its model-index"}),
        (another_data_set, {"its model-index"}),
        (no_index, {"its model-index"}),
        (lambda text: text.replace("## How it was", "It reaches 99.9 %.\n\n## How it was"), {"rest of its text"}),
        (lambda text: re.sub(r"\| time \| \d+ s", "| time | 1234567 s", text), {"rest of its text"}),
    ],
)
def test_an_edited_card_fails(run, edit, parts):
    card = run / "README.md"
    text = card.read_text(encoding="utf-8")
    assert edit(text) != text
    card.write_text(edit(text), encoding="utf-8")
    failed = {name for name, verdict in verdicts(run).items() if verdict == "failed"}
    assert len(failed) == len(parts) and all(any(part in name for name in failed) for part in parts)


def test_other_text_without_a_number_is_not_checked(run):
    card = run / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "\nMade for the exhibition.\n", encoding="utf-8")
    assert verdicts(run) == PARTS | {"card, the rest of its text": "not checked"}


def test_metadata_that_is_broken_fails(run):
    card = run / "README.md"
    card.write_text("---\nlibrary_name: [timm\n---\n# run\n", encoding="utf-8")
    assert verdicts(run) == {"card": "failed", "robustness.csv": "holds"}
    card.unlink()
    assert verdicts(run) == {"card": "not checked"}


def test_an_edited_report_disagrees_with_card_and_table(run):
    report = json.loads((run / "robustness.json").read_text())
    report["axes"]["clean"]["accuracy"]["value"] = 0.99
    (run / "robustness.json").write_text(json.dumps(report))
    found = verdicts(run)
    assert {name for name, verdict in found.items() if verdict == "failed"} >= {
        "card, its table",
        "card, its model-index",
        "robustness.csv",
    }
