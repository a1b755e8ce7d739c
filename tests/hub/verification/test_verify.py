"""Measuring again what a run claims: what was edited fails, on the run's own data and by its recipe."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hfmix import RobustnessReport, evaluate_robustness, load_pretrained, verify
from hfmix.cli import main
from hfmix.data.splits import load_part, load_test
from hfmix.hub.card.model_card import write_card
from hfmix.robustness.report import CSV_COLUMNS


@pytest.fixture(scope="module")
def light_run(finished_run, tmp_path_factory) -> Path:
    """The finished run with a report of all axes that is quick to repeat: two corruptions, few examples."""
    run = tmp_path_factory.mktemp("light") / "run"
    shutil.copytree(finished_run, run)
    model, processor, _ = load_pretrained(run)
    report = evaluate_robustness(
        model,
        processor,
        load_test("digits").sample(60, 0),
        ood={"photographs": "photo_patches"},
        shift={"again": "digits"},
        validation=load_part("digits", "validation"),
        reference=load_part("digits", "train").sample(96, 0),
        groups={"far": ["photographs"]},
        corruptions=["contrast", "frost"],
        corruption_samples=12,
        batch_size=32,
        progress=False,
    )
    report.save(run)
    write_card(run, "run")
    return run


@pytest.fixture
def run(light_run, tmp_path) -> Path:
    shutil.copytree(light_run, tmp_path / "run")
    return tmp_path / "run"


def check(run: Path, *arguments, **options) -> dict[str, list]:
    """Verdict to names."""
    found: dict[str, list] = {"holds": [], "failed": [], "not checked": []}
    for claim in verify(run, *arguments, progress=False, **options):
        found[claim.verdict].append(claim.name)
    return found


def test_it_holds_by_its_recipe_as_far_as_that_goes(run):
    """The recipe has test, validation, training and OOD data, but no shifted set."""
    found = check(run)
    assert found["failed"] == []
    figures = dict(RobustnessReport.load(run).estimates())
    left = set(found["not checked"])
    assert left == {path for path in figures if path.startswith(("shift/", "ood_full_spectrum/"))}
    assert set(figures) - left <= set(found["holds"])


def test_it_holds_with_all_that_it_was_measured_on(run):
    found = check(run, "digits", shift={"again": "digits"}, reference=load_part("digits", "train").sample(96, 0))
    assert found["failed"] == found["not checked"] == []
    assert set(dict(RobustnessReport.load(run).estimates())) < set(found["holds"])


def test_without_its_data_nothing_is_passed(run):
    (run / "recipe.yaml").unlink()
    found = check(run, "digits")
    assert not [name for name in found["holds"] if "photographs" in name or "temperature" in name]
    assert found["failed"] == []
    with pytest.raises(ValueError, match="no data to measure on, give --dataset"):
        verify(run)
    with pytest.raises(ValueError, match="the report has no OOD set 'patches', only photographs"):
        verify(run, "digits", ood={"patches": "photo_patches"})


def test_another_frost_is_not_checked_and_the_other_corruptions_are(run, monkeypatch):
    monkeypatch.setattr("hfmix.robustness.axes.corruptions.frost_source", lambda: "made of sugar")
    found = check(run, "digits")
    assert found["failed"] == []
    of_corruption = {
        name for name in dict(RobustnessReport.load(run).estimates()) if name.startswith("corruptions/")
    }
    held = {f"corruptions/accuracy/contrast/{severity}" for severity in range(1, 6)}
    assert {name for name in found["holds"] if name.startswith("corruptions/")} == held
    assert {name for name in found["not checked"] if name.startswith("corruptions/")} == of_corruption - held


def test_images_that_were_read_from_files_are_not_checked_without_them(run):
    content = json.loads((run / "robustness.json").read_text())
    content["axes"]["corruptions"]["applied"] = "before the processor, read from CIFAR-10-C"
    (run / "robustness.json").write_text(json.dumps(content))
    write_card(run, "run")
    found = check(run, "digits")
    assert found["failed"] == [] and not [name for name in found["holds"] if name.startswith("corruptions")]


def test_on_other_data_the_verdict_says_so(run):
    claims = {claim.name: claim for claim in verify(run, "digits", max_samples=40, progress=False)}
    accuracy = claims["clean/accuracy"]
    assert accuracy.verdict == "holds" and accuracy.why == "on other data"
    assert claims["predictions.safetensors"].verdict == "not checked"
    precision = claims["ood/photographs/msp/aupr_out"]  # with all photographs it would be another figure
    assert precision.verdict == "holds" and precision.why == "on other data"


def test_edited_weights_fail(run):
    weights = load_file(run / "model.safetensors")
    (head,) = (name for name in weights if weights[name].ndim == 2)
    weights[head] = torch.flip(weights[head], [0]) * 2
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    assert {"clean/accuracy", "predictions.safetensors"} <= set(check(run, "digits")["failed"])


def test_an_edited_config_fails(run):
    config = json.loads((run / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.9, 0.9, 0.9]
    (run / "config.json").write_text(json.dumps(config))
    assert "corruptions/mean_nll" in check(run, "digits")["failed"]


def test_a_run_that_was_made_better_throughout_fails(run, capsys):
    """JSON, CSV and card agree with each other, and claim more than the model does."""
    content = json.loads((run / "robustness.json").read_text())
    accuracy = content["axes"]["clean"]["accuracy"]
    accuracy |= {"value": 0.9, "ci95": [0.8, 0.95]}
    (run / "robustness.json").write_text(json.dumps(content))
    rows = [",".join(CSV_COLUMNS)]
    for path, figure in RobustnessReport.load(run).estimates():
        rows.append(",".join(map(str, [path.split("/")[0], path, figure["value"], *figure["ci95"], figure["n"]])))
    (run / "robustness.csv").write_text("\n".join(rows) + "\n")
    write_card(run, "run")
    assert main(["verify", str(run), "--dataset", "digits"]) == 1
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.startswith("clean/accuracy")]
    assert line.split()[1] == "0.9" and "failed: off by" in line
    assert [line for line in printed.splitlines() if "failed" in line][:-1] == [line]


def test_a_true_run_has_status_0_and_all_figures_on_request(run, capsys):
    assert main(["verify", str(run), "--dataset", "digits", "--all"]) == 0
    printed = capsys.readouterr().out
    for path, _ in RobustnessReport.load(run).estimates():
        assert any(line.split()[0] == path for line in printed.splitlines() if line), path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda content: content["axes"]["clean"]["accuracy"].update(value="much"),
            "no figure at 'clean/accuracy'",
        ),
        (lambda content: content["axes"]["corruptions"].pop("accuracy"), "not put together as hfmix writes it"),
        (lambda content: content.update(axes=[]), "claims nothing"),
    ],
)
def test_a_report_that_is_none_is_one_line(edit, message, run, one_line):
    content = json.loads((run / "robustness.json").read_text())
    edit(content)
    (run / "robustness.json").write_text(json.dumps(content))
    assert main(["verify", str(run), "--dataset", "digits"]) == 1
    assert message in one_line()


def test_a_model_without_a_report_claims_nothing(run, one_line):
    (run / "robustness.json").unlink()
    assert main(["verify", str(run)]) == 1
    assert "claims nothing: there is no robustness.json" in one_line()
