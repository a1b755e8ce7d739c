"""A baseline's column: from another run's report, stored in the run, on the card, and checked there."""

import json
import re
import shutil

import numpy as np
import pytest
from huggingface_hub import ModelCard
from project import QUICK, ROOT

from hfmix import RobustnessReport
from hfmix.hub.card.baseline import load_baseline, write_baseline
from hfmix.hub.card.model_card import robustness_table
from hfmix.hub.verification.card_claims import card_claims
from hfmix.robustness.paired import paired_differences
from hfmix.run_folder import is_finished
from hfmix.train import main


@pytest.fixture(scope="module")
def run_with_baseline(finished_run, tmp_path_factory):
    """An ERM run beside the finished one, trained with the option."""
    run = tmp_path_factory.mktemp("beside") / "erm"
    recipe = str(ROOT / "recipes/digits/erm.yaml")
    options = [*QUICK, "--eval_strategy", "no", "--axes", "clean", "calibration", "ood"]
    assert main([recipe, *options, "--output_dir", str(run), "--baseline", str(finished_run)]) == 0
    return run


@pytest.fixture
def run(run_with_baseline, tmp_path):
    shutil.copytree(run_with_baseline, tmp_path / "erm")
    return tmp_path / "erm"


def failed(run) -> set[str]:
    claims = card_claims(run, RobustnessReport.load(run))
    return {claim.name for claim in claims if claim.verdict == "failed"}


def test_the_table_has_both_models_and_their_paired_difference(run_with_baseline, finished_run):
    report, other = (RobustnessReport.load(folder) for folder in (run_with_baseline, finished_run))
    baseline = load_baseline(run_with_baseline)
    assert baseline["name"] == baseline["policy"] == "regmixup"
    paired = paired_differences(other.predictions, report.predictions, 0)
    assert baseline["differences"]["clean/accuracy"] == paired["clean/accuracy"]
    right = [found.predictions["predicted"] == found.predictions["label"] for found in (report, other)]
    assert paired["clean/accuracy"]["value"] == pytest.approx(np.mean(right[0]) - np.mean(right[1]))
    head, accuracy, *rest = robustness_table(report, baseline, "60 test images")
    assert head == ("measured on 60 test images", "this model", "baseline (regmixup)", "difference")
    ours, theirs = (100 * found.axes["clean"]["accuracy"]["value"] for found in (report, other))
    assert accuracy[1].startswith(f"{ours:.1f} [") and accuracy[2] == f"{theirs:.1f}"
    assert accuracy[3].startswith(f"{ours - theirs:+.1f} [")
    assert not any("corrupted" in row[0] for row in rest)  # which the ERM run did not measure
    card = ModelCard.load(run_with_baseline / "README.md")
    assert "| " + " | ".join(accuracy) + " |" in card.text
    assert failed(run_with_baseline) == set()


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (
            lambda content: content["figures"]["clean/accuracy"].update(value=0.01),
            {"table", "baseline.json", "text"},
        ),
        (
            lambda content: content["differences"]["clean/nll"].update(value=-9.0),
            {"table", "baseline.json", "text"},
        ),
        (lambda content: content.update(fingerprint_sha256="0" * 64), {"baseline.json"}),
        (lambda content: content.update(policy="none at all"), {"table"}),
        (lambda content: content["figures"]["clean/nll"].update(value="low"), {"table", "baseline.json"}),
    ],
)
def test_an_edited_baseline_is_found_out(run, edit, parts):
    content = json.loads((run / "baseline.json").read_text())
    edit(content)
    (run / "baseline.json").write_text(json.dumps(content))
    names = failed(run)
    assert all(any(part in name for name in names) for part in parts) and "robustness.csv" not in names


def test_an_edited_column_is_found_out(run):
    card = run / "README.md"
    text = card.read_text(encoding="utf-8")
    edited = re.sub(r"(\| accuracy, % ↑ \| [^|]+ \|) [\d.]+ ", r"\1 3.0 ", text)
    assert edited != text
    card.write_text(edited, encoding="utf-8")
    assert "card, its table" in failed(run)


def test_a_baseline_on_other_data_is_refused(run, finished_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    report = json.loads((other / "robustness.json").read_text())
    report["data"]["fingerprint_sha256"] = "0" * 64
    (other / "robustness.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match="the baseline other was not measured on the same test set"):
        write_baseline(RobustnessReport.load(run), other, run)


def test_a_wrong_path_is_found_before_the_training(tmp_path, one_line):
    recipe = str(ROOT / "recipes/digits/erm.yaml")
    options = ["--output_dir", str(tmp_path / "run"), "--baseline", str(tmp_path / "nowhere")]
    assert main([recipe, *options]) == 1
    assert "no robustness.json in" in one_line() and not is_finished(tmp_path / "run")
