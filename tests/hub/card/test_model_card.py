"""The card: valid metadata, every figure of the report, nothing left open."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from hfmix import RobustnessReport
from hfmix.hub.card.model_card import write_card
from hfmix.robustness.corruptions.image.textures import frost_source


@pytest.fixture
def card(finished_run) -> ModelCard:
    return ModelCard.load(finished_run / "README.md")


def test_the_model_index_has_the_figures_that_readers_ask_for(finished_run, card):
    """Of 8 scores with 5 figures each, two with two; nothing twice."""
    report = RobustnessReport.load(finished_run)
    results = card.data.eval_results
    values = {(r.dataset_config, r.metric_name): r.metric_value for r in results}
    assert len(values) == len(results)
    measured = dict(report.estimates())
    assert (
        len(results) == sum(path.split("/")[0] in ("clean", "calibration", "corruptions") for path in measured) + 5
    )
    for name, path in {
        ("contrast", "accuracy at severity 3"): "corruptions/accuracy/contrast/3",
        ("clean", "accuracy"): "clean/accuracy",
        ("clean", "aurc"): "selective/aurc",
        ("against photographs", "energy fpr95 ood positive"): "ood/photographs/energy/fpr95_ood_positive",
        ("against photographs", "msp auroc"): "ood/photographs/msp/auroc",
    }.items():
        assert values[name] == pytest.approx(measured[path]["value"], abs=1e-6)


def test_metadata(card):
    assert card.data.library_name == "timm" and card.data.pipeline_tag == "image-classification"
    assert {"hfmix", "regmixup"} <= set(card.data.tags)
    assert card.data.base_model is None and card.data.datasets is None  # neither is on the Hub


def test_the_text_says_what_was_found_and_leaves_nothing_open(finished_run, card):
    for words in (
        "hurts it most",
        "confident",
        "To notice 95 % of photographs",
        "arxiv.org/abs/2206.14502",
        "that it is most confident of, it errs",
        "grey levels, glass blur, zoom blur, snow, frost, elastic transform) the code is followed",
        "the frost is drawn (`procedural`)" if frost_source() == "procedural" else "the frost is photographed",
    ):
        assert words in card.text
    for figure in ("reliability", "risk_coverage", "corruptions", "ood", "roc"):
        assert f"(figures/{figure}.png)" in card.text and (finished_run / f"figures/{figure}.png").exists()
    for nothing in ("More information needed", "None", "nan", "{{", "undefined"):
        assert nothing not in card.text


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
