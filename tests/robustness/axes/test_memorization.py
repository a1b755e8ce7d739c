"""Memorization of wrong labels: by hand, for nets that know everything or nothing, and in a real run."""

import json

import numpy as np
import pytest
import torch
from layout import check_layout
from project import ROOT
from torch import nn
from tqdm.auto import tqdm

from hfmix.data.arguments import DataArguments
from hfmix.data.kinds import preprocessor_for
from hfmix.data.splits import load_splits
from hfmix.hub.download.load import load_pretrained
from hfmix.metrics import wilson_interval
from hfmix.robustness.axes.memorization import LearningCurve, measure_memorization, memorization_axis
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.presentation.memorization import draw_memorization
from hfmix.robustness.report import RobustnessReport

TRUE = np.array([0, 1, 2, 0, 1, 2, 0, 1])
LABELS = np.array([0, 1, 2, 0, 2, 1, 1, 2])  # the last four are wrong
ERRORS = ("train_error_true_labels", "train_error_wrong_labels", "train_error_wrong_labels_against_truth")


def values(axis):
    return {path: found["value"] for path, found in RobustnessReport({"axes": axis}).estimates()}


def test_training_errors_by_hand():
    # right, wrong, wrong, wrong; learnt, true, neither, neither
    predicted = np.array([0, 2, 0, 1, 2, 2, 2, 0])
    axis = memorization_axis(predicted, LABELS, TRUE)
    assert values(axis) == dict(zip(ERRORS, (3 / 4, 3 / 4, 3 / 4), strict=True))
    predicted[-1] = 1  # true
    axis = memorization_axis(predicted, LABELS, TRUE)
    assert values(axis) == dict(zip(ERRORS, (3 / 4, 3 / 4, 2 / 4), strict=True))
    assert axis["train_error_wrong_labels_against_truth"]["ci95"] == list(wilson_interval(2, 4))
    assert all(axis[name]["n"] == 4 for name in ERRORS)
    assert (axis["num_examples"], axis["num_wrong_labels"]) == (8, 4)
    json.dumps(axis, allow_nan=False)


@pytest.mark.parametrize(
    ("predicted", "errors"), [(LABELS, (0, 0, 1)), (TRUE, (0, 1, 0)), ((TRUE + 1) % 3, (1, 0.25, 1))]
)
def test_a_net_that_knows_the_labels_the_truth_or_neither(predicted, errors):
    """Shifted by one, the truth is three of the four wrong labels."""
    assert values(memorization_axis(predicted, LABELS, TRUE)) == dict(zip(ERRORS, errors, strict=True))


def test_of_two_classes_what_is_not_learnt_is_the_truth():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(2, size=(2, 200))
    labels = np.where(rng.random(200) < 0.4, 1 - true, true)
    found = values(memorization_axis(predicted, labels, true))
    assert found[ERRORS[1]] + found[ERRORS[2]] == pytest.approx(1)
    assert 0.3 < found[ERRORS[1]] < 0.7  # five standard errors of 80 fair coins and more lie in it


def test_a_group_without_examples_has_no_figure():
    none_wrong = memorization_axis(TRUE, TRUE, TRUE)
    assert values(none_wrong) == {ERRORS[0]: 0}
    all_wrong = memorization_axis(TRUE, LABELS[4:].repeat(2), TRUE[4:].repeat(2))
    assert all_wrong["num_wrong_labels"] == 8 and ERRORS[0] not in all_wrong
    assert len(draw_memorization(none_wrong).axes) == 1


def test_best_and_last_test_error():
    """Of equal ones the first is the best; other entries of a log are passed over."""
    accuracies = [0.25, 0.6, 0.55, 0.6, 0.1]
    log = [{"loss": 1.0, "epoch": 0.5, "step": 1}]
    for epoch, accuracy in enumerate(accuracies, 1):
        log += [
            {"test_accuracy": accuracy, "test_loss": 1.0, "epoch": epoch},
            {"eval_accuracy": 1, "epoch": epoch},
        ]
    curve = LearningCurve.from_log(log, 20)
    assert curve == LearningCurve((1, 2, 3, 4, 5), (15, 8, 9, 8, 18), 20)
    axis = memorization_axis(TRUE, LABELS, TRUE, curve=curve)
    assert axis["best_test_error"] == {"value": 8 / 20, "ci95": list(wilson_interval(8, 20)), "n": 20}
    assert axis["last_test_error"] == {"value": 18 / 20, "ci95": list(wilson_interval(18, 20)), "n": 20}
    assert axis["best_epoch"] == 2
    assert axis["test_error_by_epoch"] == {"epoch": [1, 2, 3, 4, 5], "error": [0.75, 0.4, 0.45, 0.4, 0.9]}
    assert LearningCurve.from_log(log[:1], 20) is None


def test_counts_survive_the_accuracy_s_rounding():
    """The log holds a mean in float64: for every count of a test set of 10,000 the error is the whole number."""
    n = 10_000
    log = [{"test_accuracy": float((np.arange(n) >= wrong).mean()), "epoch": 1} for wrong in range(0, n, 37)]
    assert LearningCurve.from_log(log, n).errors == tuple(range(0, n, 37))


class Recalls(nn.Module):
    """Answers with the first pixel: what it was shown as the class."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, pixels):
        return 100 * torch.stack([pixels[:, 0].sum((1, 2)) * k for k in range(10)], 1) % 7 + self.bias


def noisy_digits(noise=0.4):
    return load_splits(DataArguments("digits", label_noise=noise), seed=0)["train"].select(np.arange(150))


def processor(images, return_tensors):
    pixels = [
        torch.from_numpy(np.array(image.convert("RGB"), np.float32)).permute(2, 0, 1) / 255 for image in images
    ]
    return {"pixel_values": torch.stack(pixels)}


def runner_of(model, batch_size=32):
    return Runner(model, preprocessor_for("image", processor), batch_size, ResultCache(None, model))


def test_it_is_measured_on_the_training_images_as_they_are():
    train, model = noisy_digits(), Recalls()
    with tqdm(disable=True) as bar:
        axis, predictions = measure_memorization(runner_of(model), train, bar)
    pixels = processor([train.example(i) for i in range(150)], "pt")["pixel_values"]
    predicted = model(pixels).argmax(1).numpy()
    assert axis == memorization_axis(predicted, train.labels, train.true_labels)
    assert axis["num_wrong_labels"] == train.num_changed_labels > 30
    assert predictions["train_predicted"].tolist() == predicted.tolist()
    assert predictions["train_row"].tolist() == train.rows.tolist()
    assert (predictions["train_label"] != predictions["train_true_label"]).any()


def test_what_has_no_wrong_labels_is_refused_before_anything_is_measured():
    class Never(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, pixels):
            raise AssertionError("measured")

    clean = load_splits(DataArguments("digits"), seed=0)["train"].select(np.arange(20))
    with (
        tqdm(disable=True) as bar,
        pytest.raises(ValueError, match=r"which training labels are wrong.*label_noise"),
    ):
        measure_memorization(runner_of(Never()), clean, bar)
    several = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="these have several classes"):
        memorization_axis(np.zeros(3, int), several, several)


@pytest.mark.parametrize("epochs", [1, 30, 200])
def test_the_figure_shows_the_axis(epochs):
    errors = tuple(int(60 + 30 * np.cos(epoch / 20)) for epoch in range(epochs))
    curve = LearningCurve(tuple(float(epoch + 1) for epoch in range(epochs)), errors, 100)
    axis = memorization_axis(np.array([0, 2, 0, 1, 2, 2, 2, 0]), LABELS, TRUE, curve=curve)
    figure = draw_memorization(axis)
    check_layout(figure)
    left, right = figure.axes
    legend = [text.get_text() for text in left.get_legend().get_texts()]
    assert legend == [f"best: {min(errors):.1f} %", f"last: {errors[-1]:.1f} %"]
    assert [bar.get_height() for bar in right.patches] == [75, 75, 75]


def test_a_run_with_label_noise_reports_it(tmp_path, capfd):
    from hfmix.train import main

    run = tmp_path / "run"
    options = ["--model_name_or_path", "resnet20_cifar", "--model_args", '{"depth": 1}', "--num_train_epochs", "3"]
    options += [
        "--max_train_samples",
        "200",
        "--max_test_samples",
        "60",
        "--corruption_samples",
        "2",
        "--ood",
        "{}",
    ]
    options += ["--label_noise", "0.4", "--label_noise_seed", "1", "--test_every_epoch", "--save_strategy", "no"]
    recipe = str(ROOT / "recipes/digits/mixup.yaml")
    assert main([recipe, *options, "--eval_strategy", "no", "--output_dir", str(run)]) == 0
    report = RobustnessReport.load(run)
    axis = report.axes["memorization"]
    assert axis["num_examples"] == 200
    results = json.loads((run / "train_results.json").read_text())
    assert axis["num_wrong_labels"] == results["num_changed_labels"]
    assert axis["test_error_by_epoch"]["epoch"] == [1, 2, 3]
    # the last epoch's net is the one that the report is of
    assert axis["last_test_error"]["value"] == pytest.approx(1 - report.axes["clean"]["accuracy"]["value"])
    model, its_processor, _ = load_pretrained(str(run))
    data = load_splits(DataArguments("digits", label_noise=0.4, label_noise_seed=1, max_train_samples=200), seed=0)
    with tqdm(disable=True) as bar:
        runner = Runner(model, preprocessor_for("image", its_processor), 64, ResultCache(None, model))
        again, predictions = measure_memorization(runner, data["train"], bar)
    assert {name: axis[name] for name in again} == again  # of the published weights and the same wrong labels
    assert (report.predictions["train_predicted"] == predictions["train_predicted"]).all()
    assert "train error wrong labels" in (run / "report.html").read_text()
