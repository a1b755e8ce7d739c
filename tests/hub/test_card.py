"""The card: valid metadata, every figure of the report, nothing left open."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from hfmix import RobustnessReport
from hfmix.hub.card import findings, write_card


@pytest.fixture
def card(finished_run) -> ModelCard:
    return ModelCard.load(finished_run / "README.md")


def test_every_figure_is_in_the_model_index_under_a_name_of_its_own(finished_run, card):
    report = RobustnessReport.load(finished_run)
    results = card.data.eval_results
    names = [(r.dataset_config, r.metric_name) for r in results]
    assert len(set(names)) == len(names) == len(list(report.figures()))
    values = {name: r.metric_value for name, r in zip(names, results, strict=True)}
    accuracy = report.axes["corruptions"]["accuracy"]["contrast"]["3"]["value"]
    assert values["contrast", "accuracy at severity 3"] == pytest.approx(accuracy, abs=1e-6)
    assert values["clean", "accuracy"] == pytest.approx(report.axes["clean"]["accuracy"]["value"], abs=1e-6)


def test_metadata(card):
    assert card.data.library_name == "timm" and card.data.pipeline_tag == "image-classification"
    assert {"hfmix", "regmixup"} <= set(card.data.tags)
    assert card.data.base_model is None and card.data.datasets is None  # neither is on the Hub


def test_the_text_says_what_was_found_and_leaves_nothing_open(finished_run, card):
    for words in ("hurts it most", "confident", "To notice 95 % of photographs", "arxiv.org/abs/2206.14502"):
        assert words in card.text
    for figure in ("reliability", "corruptions", "ood"):
        assert f"(figures/{figure}.png)" in card.text and (finished_run / f"figures/{figure}.png").exists()
    for nothing in ("More information needed", "None", "nan", "{{", "undefined"):
        assert nothing not in card.text


def test_findings_follow_the_figures():
    def figure(value):
        return {"value": value, "ci95": [value, value], "n": 10}

    axes = {
        "clean": {"accuracy": figure(0.9)},
        "calibration": {"mean_confidence": figure(0.95)},
        "corruptions": {"accuracy": {"fog": {"5": figure(0.7)}, "snow_x": {"5": figure(0.2)}}},
        "ood": {"svhn": {"msp": {"fpr95_ood_positive": figure(0.4)}}},
    }
    worst, confidence, missed = findings(RobustnessReport({"axes": axes}))
    assert worst == "Snow x hurts it most: accuracy 20.0 [20.0, 20.0] % at severity 5."
    assert "over-confident: its mean confidence lies 5.0 points above" in confidence
    assert "95 % of svhn" in missed and "40.0 [40.0, 40.0] %" in missed


def test_names_from_users_are_shown_as_they_are(finished_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    report = json.loads((run / "robustness.json").read_text())
    report["data"]["class_names"][0] = "<script>x</script> | **bold** [link](x)\n# heading"
    (run / "robustness.json").write_text(json.dumps(report))
    write_card(run, title="<b>run</b>")
    text = ModelCard.load(run / "README.md").text
    assert "<script>" not in text.replace("\\<", "") and "\\<script\\>" in text
    assert "\n# heading" not in text and "# \\<b\\>run" in text
