"""An evaluation gives what a direct computation gives, for every batch size."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image
from pictures import NAMES, pictures
from PIL import Image as PILImage
from torch import nn

from hfmix import RobustnessReport, corrupt, evaluate_robustness, load_backbone
from hfmix.data.splits import as_labelled
from hfmix.metrics import auroc, expected_calibration_error, negative_log_likelihood, wilson_interval
from hfmix.robustness.names import AXES


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone("test_vit", NAMES, pretrained=False, image_size=32)


@pytest.fixture(scope="module")
def report(backbone) -> RobustnessReport:
    return evaluate_robustness(*backbone, pictures(), ood={"other": pictures(seed=1)}, progress=False)


def logits_of(backbone, images) -> torch.Tensor:
    model, processor = backbone
    with torch.no_grad():
        return model.eval()(processor(images=images, return_tensors="pt")["pixel_values"]).logits.double()


def test_figures_equal_direct_computation(backbone, report):
    data = pictures()
    logits, labels = logits_of(backbone, data["image"][:]), torch.tensor(data["label"][:])
    correct = int((logits.argmax(1) == labels).sum())
    axes = report.axes
    assert axes["clean"]["accuracy"] == {
        "value": correct / 30,
        "ci95": list(wilson_interval(correct, 30)),
        "n": 30,
    }
    assert axes["clean"]["nll"]["value"] == pytest.approx(negative_log_likelihood(logits, labels), rel=1e-6)
    ece = expected_calibration_error(logits.softmax(1), labels)
    assert axes["calibration"]["ece_15"]["value"] == pytest.approx(ece, abs=1e-6)
    other = logits_of(backbone, pictures(seed=1)["image"][:])
    expected = auroc(logits.softmax(1).max(1).values.numpy(), other.softmax(1).max(1).values.numpy())
    assert axes["ood"]["other"]["msp"]["auroc"]["value"] == pytest.approx(expected, abs=2e-3)


def test_corruption_lies_between_crop_and_normalisation(backbone, report):
    data = pictures()
    arrays = np.stack([np.asarray(image) for image in data["image"]])
    corrupted = corrupt(arrays, "gaussian_noise", 5, seed=0)
    predicted = logits_of(backbone, [PILImage.fromarray(array) for array in corrupted]).argmax(1)
    expected = (predicted == torch.tensor(data["label"][:])).double().mean().item()
    corruptions = report.axes["corruptions"]
    assert corruptions["accuracy"]["gaussian_noise"]["5"]["value"] == pytest.approx(expected)
    assert corruptions["applied"] == "after resize and crop, before normalisation"
    cells = [figure["value"] for row in corruptions["accuracy"].values() for figure in row.values()]
    assert corruptions["mean_accuracy"]["value"] == pytest.approx(np.mean(cells))


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_changes_nothing(backbone, report, batch_size):
    ood = {"other": pictures(seed=1)}
    again = evaluate_robustness(*backbone, pictures(), ood=ood, batch_size=batch_size, progress=False)
    for (name, ours), (_, theirs) in zip(again.estimates(), report.estimates(), strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=1e-5, abs=1e-6), name


def test_an_unknown_processor_is_given_corrupted_images(backbone):
    model, processor = backbone

    def anonymous(images, return_tensors):
        return processor(images=images, return_tensors=return_tensors)

    known, unknown = (
        evaluate_robustness(model, p, pictures(), axes=["corruptions"], corruptions=["contrast"], progress=False)
        for p in (processor, anonymous)
    )
    assert unknown.axes["corruptions"]["applied"] == "before the processor"
    assert unknown.axes["corruptions"]["accuracy"] == known.axes["corruptions"]["accuracy"]  # 32 pixels: no resize


def test_a_report_says_what_it_rests_on_and_what_it_left_out(backbone, report, tmp_path):
    small = evaluate_robustness(*backbone, pictures(), axes=["clean", "ood"], progress=False)
    assert set(small.axes) == {"clean"}
    assert set(small.content["left_out"]) == set(AXES) - {"clean"}
    assert small.content["data"] == report.content["data"]
    changed = pictures().select([*range(1, 30), 0])
    other = evaluate_robustness(*backbone, changed, axes=["clean"], progress=False)
    assert other.content["data"]["fingerprint_sha256"] != small.content["data"]["fingerprint_sha256"]
    assert small.content["versions"]["torch"] and small.content["schema_version"] == 1
    for name, figure in report.estimates():
        low, high = figure["ci95"]
        assert low <= figure["value"] <= high and figure["n"] > 0, name
    report.save(tmp_path)
    assert RobustnessReport.load(tmp_path) == report


def test_predictions_are_those_that_the_figures_rest_on(backbone, report):
    kept, axes = report.predictions, report.axes
    logits = logits_of(backbone, pictures()["image"][:])
    assert kept["label"].tolist() == pictures()["label"]
    assert kept["predicted"].tolist() == logits.argmax(1).tolist()
    assert kept["confidence"] == pytest.approx(logits.softmax(1).max(1).values.numpy(), rel=1e-5)
    assert (kept["predicted"] == kept["label"]).mean() == axes["clean"]["accuracy"]["value"]
    assert kept["nll"].mean() == pytest.approx(axes["clean"]["nll"]["value"], rel=1e-12)
    assert kept["corrupted_accuracy"].mean() == pytest.approx(axes["corruptions"]["mean_accuracy"]["value"])
    assert kept["corrupted_row"].tolist() == list(range(30))
    assert auroc(kept["confidence"], kept["msp/other"]) == axes["ood"]["other"]["msp"]["auroc"]["value"]


def test_a_sample_of_corrupted_examples_says_whose_they_are(backbone):
    """Alone or among others, an example is corrupted by its place among those that are taken."""
    some = evaluate_robustness(
        *backbone, pictures(), ["corruptions"], corruptions=["contrast"], corruption_samples=7, progress=False
    )
    every = evaluate_robustness(*backbone, pictures(), ["corruptions"], corruptions=["contrast"], progress=False)
    rows = some.predictions["corrupted_row"]  # contrast draws nothing
    assert len(set(rows.tolist())) == 7
    assert (some.predictions["corrupted_accuracy"] == every.predictions["corrupted_accuracy"][rows]).all()


def test_the_model_is_left_as_it_was(backbone):
    model, processor = backbone
    model.train()
    evaluate_robustness(model, processor, pictures(4), axes=["clean"], progress=False)
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_unreadable_files_are_skipped_and_counted_where_that_is_asked(backbone):
    data = pictures(8).cast_column("image", Image(decode=False))
    cells = data["image"][:]
    cells[3] = {"bytes": b"not an image", "path": None}
    features = Features({"image": Image(decode=False), "label": data.features["label"]})
    broken = Dataset.from_dict({"image": cells, "label": data["label"][:]}, features=features)
    with pytest.raises(ValueError, match="test row 3 is not an image that can be read"):
        evaluate_robustness(*backbone, broken, axes=["clean"], progress=False)
    report = evaluate_robustness(*backbone, broken, axes=["clean"], skip_unreadable=True, progress=False)
    assert report.content["data"]["num_skipped"] == {"test": 1} and report.content["data"]["num_samples"] == 7
    whole = evaluate_robustness(
        *backbone, pictures(8).select([0, 1, 2, 4, 5, 6, 7]), axes=["clean"], progress=False
    )
    assert report.axes["clean"]["nll"]["value"] == pytest.approx(whole.axes["clean"]["nll"]["value"], rel=1e-6)


def test_a_plain_module_will_do():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x.mean((2, 3)) * self.scale

    def processor(images, return_tensors):
        arrays = np.stack([np.asarray(image, dtype=np.float32) for image in images])
        return {"pixel_values": torch.from_numpy(arrays).permute(0, 3, 1, 2)}

    report = evaluate_robustness(Head(), processor, as_labelled(pictures()), progress=False)
    assert report.axes["clean"]["accuracy"]["n"] == 30


class Constant(nn.Module):
    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": ["clear"]}, "unknown axis 'clear'"),
        ({"corruptions": ["fogg"]}, "unknown corruption 'fogg'"),
        ({"dataset": pictures().select([])}, "the test set is empty"),
        ({"label_column": "lable"}, "did you mean 'label'?"),
        ({"ood": {"other": pictures().select([])}}, "the ood other set is empty"),
        ({"model": Constant(1.0, float("nan"), 0.0)}, "not finite, first for test example 0"),
        ({"model": Constant(0.5, 0.25, 0.25)}, "the model gives probabilities"),
        ({"model": Constant(2.0, 0.0)}, "the test set has label 2, the model 2 classes"),
    ],
)
def test_what_cannot_be_measured_is_named(backbone, arguments, message):
    model, processor = backbone
    with pytest.raises(ValueError) as error:
        evaluate_robustness(
            **{"model": model, "processor": processor, "dataset": pictures(), "progress": False, **arguments}
        )
    assert message in str(error.value)


def test_a_report_that_is_not_one_is_named(tmp_path):
    with pytest.raises(ValueError, match="is it a finished run"):
        RobustnessReport.load(tmp_path)
    (tmp_path / "robustness.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        RobustnessReport.load(tmp_path)
    (tmp_path / "robustness.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(ValueError, match="schema_version 99"):
        RobustnessReport.load(tmp_path)
