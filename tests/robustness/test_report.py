"""What a saved report leaves: a table, a page and predictions that say what the report says."""

import base64
import csv
import re
import shutil
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
import torch
from datasets import ClassLabel
from layout import check_layout
from pictures import NAMES, pictures
from safetensors.numpy import load_file

from hfmix import RobustnessReport, evaluate_robustness, load_backbone
from hfmix.data.splits import as_labelled
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.axes.memorization import LearningCurve
from hfmix.robustness.names import AXES
from hfmix.robustness.presentation import CONVENTIONS, VIEWS, captions, convention_of
from hfmix.robustness.presentation.style import STYLE

LONG = "a_name_as_long_as_a_sentence_that_says_all_there_is_to_say"
SCRIPT = "<script>alert('x')</script> & $x_1$"


@pytest.fixture(scope="module")
def report() -> RobustnessReport:
    """Every axis, names as a user should not give them, more sets than fit into one row."""
    torch.manual_seed(0)
    backbone = load_backbone("test_vit", NAMES, pretrained=False, image_size=32)
    test = pictures().cast_column("label", ClassLabel(names=[SCRIPT, "b", "c"]))
    wrong = as_labelled(test, name="train").with_label_noise(0.4, 0)
    return evaluate_robustness(
        *backbone,
        test,
        AXES,
        ood={name: pictures(20, seed=i) for i, name in enumerate(["near", LONG, SCRIPT])},
        shift={"later": test, SCRIPT: test},
        validation=test,
        groups={"all": ["near", SCRIPT]},
        corruptions=["frost", "contrast"],
        reference=wrong,
        threats=[Threat(eps=("1/255", "8/255"), steps=2), Threat("l2", steps=2)],
        pairs=10,
        learning_curve=LearningCurve((1.0, 2.0, 3.0), (20, 22, 21), 30),
        name=SCRIPT,
        progress=False,
    )


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report.save(folder)
    return folder


class Page(HTMLParser):
    """Tags with their attributes, the text of the page, and the values of its <data> elements."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.values = [float(attributes["value"]) for tag, attributes in self.tags if tag == "data"]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_csv_holds_every_figure(report, folder):
    with (folder / "robustness.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    read = {
        row["path"]: {
            "value": float(row["value"]),
            "ci95": [float(row["low"]), float(row["high"])],
            "n": int(row["n"]),
        }
        for row in rows
    }
    assert read == dict(report.estimates()) and len(rows) == len(read)
    assert {row["axis"] for row in rows} == set(report.axes)


def test_the_page_holds_every_figure_once(report, page):
    by_class = report.axes["clean"]["accuracy_by_class"]["accuracy"]
    expected = [found["value"] for _, found in report.estimates()] + by_class
    assert sorted(page.values) == sorted(expected)
    accuracy = report.axes["clean"]["accuracy"]
    low, high = (f"{100 * bound:.2f}" for bound in accuracy["ci95"])
    assert f"{100 * accuracy['value']:.2f} % [{low}, {high}]" in page.text
    nll = report.axes["clean"]["nll"]
    assert f"{nll['value']:.4g} [{nll['ci95'][0]:.4g}, {nll['ci95'][1]:.4g}]" in page.text


def test_the_page_needs_no_other_file_and_no_script(page, folder):
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    drawn = {path.read_bytes() for path in (folder / "figures").iterdir()}
    assert {base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources} == drawn
    assert len(sources) == len(captions())
    assert not re.search(r"url\(|@import|https?://", (folder / "report.html").read_text(encoding="utf-8"))


def test_names_are_shown_as_they_are(page):
    assert page.text.count(SCRIPT.replace("_", " ")) >= 4  # a class, an OOD set, a shifted set
    assert f"Robustness of {SCRIPT}" in page.text  # the model


def test_the_page_says_what_it_rests_on(report, page):
    content = report.content
    assert content["data"]["fingerprint_sha256"] in page.text
    for name, version in content["versions"].items():
        assert f"{name} {version}" in page.text
    for text in (*report.axes["corruptions"]["quirks"].values(), "The frost is", "Mode: parity"):
        assert text in page.text
    assert "no features of training data given" in page.text  # why k-NN is missing
    for path, _ in report.estimates():
        assert CONVENTIONS[convention_of(path)][1] in page.text, path


def test_the_page_says_what_was_left_out(report, tmp_path):
    axes = {"clean": report.axes["clean"]}
    small = RobustnessReport({**report.content, "axes": axes, "left_out": {"ood": "none <b>given</b>"}})
    small.save(tmp_path)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "none <b>given</b>" in text and "Corrupted input" not in text


def test_predictions_come_back_as_they_were_when_they_are_asked_for(report, folder, tmp_path):
    loaded = RobustnessReport.load(folder)
    assert "predictions" not in vars(loaded)
    assert (
        loaded.predictions.keys()
        == report.predictions.keys()
        == load_file(folder / "predictions.safetensors").keys()
    )
    for name, array in report.predictions.items():
        assert np.array_equal(loaded.predictions[name], array) and loaded.predictions[name].dtype == array.dtype
    assert loaded == report and "predictions" not in loaded.to_dict()
    loaded.save(tmp_path)
    assert (tmp_path / "predictions.safetensors").read_bytes() == (folder / "predictions.safetensors").read_bytes()


def test_predictions_of_another_test_set_are_refused(report, folder, tmp_path):
    RobustnessReport({**report.content, "data": {**report.content["data"], "fingerprint_sha256": "0"}}).save(
        tmp_path
    )
    shutil.copy(folder / "predictions.safetensors", tmp_path)
    with pytest.raises(ValueError, match="of another test set than the report beside it"):
        _ = RobustnessReport.load(tmp_path).predictions


def test_nothing_of_an_earlier_report_is_left(report, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    RobustnessReport({**report.content, "axes": {"clean": report.axes["clean"]}}).save(tmp_path)
    assert not list((tmp_path / "figures").iterdir())
    assert RobustnessReport.load(tmp_path).predictions is None


@pytest.mark.parametrize("axis", VIEWS)
def test_no_text_of_a_figure_is_cut_off_or_written_over(report, axis):
    with matplotlib.rc_context(STYLE):
        figures = VIEWS[axis].draw(report.axes)
        assert figures.keys() == VIEWS[axis].figures.keys()
        for figure in figures.values():
            check_layout(figure)
            assert figure.bbox.width <= 1300  # shown at 800 pixels, 9 points are 11 pixels
