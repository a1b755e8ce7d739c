"""The axes that are asked for: the suite gives what each gives alone, says why one is not there, compares them."""

import numpy as np
import pytest
from clips import clips
from datasets import ClassLabel
from pictures import NAMES, pictures
from tqdm.auto import tqdm

from hfmix import evaluate_robustness, load_backbone
from hfmix.data.kinds import preprocessor_for
from hfmix.data.splits import as_labelled
from hfmix.hub.card.model_card import eval_results
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.axes.adversarial import adversarial_axis
from hfmix.robustness.axes.interpolation import interpolation_axis
from hfmix.robustness.axes.memorization import LearningCurve, memorization_axis
from hfmix.robustness.comparison import compare
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.paired import paired_differences
from hfmix.robustness.presentation import headlines, sentences
from hfmix.robustness.report import RobustnessReport

MORE = ("adversarial", "interpolation", "memorization")
THREATS = (Threat(eps=("1/255", "4/255"), steps=2), Threat("l2", eps=(0.5,), attacks=("pgd",), steps=2))
CURVE = LearningCurve((1.0, 2.0), (20, 22), 30)


@pytest.fixture(scope="module")
def sets():
    """Test data, and training data with wrong labels."""
    train = as_labelled(pictures(40, seed=1), name="train").with_label_noise(0.4, 0)
    return as_labelled(pictures(30), name="test"), train


@pytest.fixture(scope="module")
def model():
    return load_backbone("test_vit", NAMES, pretrained=False, image_size=32)


@pytest.fixture(scope="module")
def report(model, sets):
    return measure(model, sets)


def measure(model, sets, **settings):
    test, train = sets
    settings = {"reference": train, "threats": THREATS, "attack_samples": 20, "pairs": 12} | settings
    return evaluate_robustness(
        *model, test, ("clean", *MORE), **settings, learning_curve=CURVE, batch_size=8, progress=False
    )


def test_each_axis_is_what_it_is_alone(model, sets, report):
    (net, processor), (test, train) = model, sets
    runner = Runner(net, preprocessor_for("image", processor), 8, ResultCache(None, net), alone=True)
    attacked = test.sample(20, 0)
    truly = as_labelled(pictures(40, seed=1), name="train")
    with tqdm(disable=True) as bar:
        adversarial, flags = adversarial_axis(runner, attacked, THREATS, 0, bar, attacked.rows)
        between, by_pair = interpolation_axis(runner, truly, 12, 0, bar)
        predicted = runner.outputs(train, bar).logits.argmax(1)
    learnt = memorization_axis(predicted, train.labels, train.true_labels, CURVE)
    assert report.axes["adversarial"] == adversarial
    assert report.axes["interpolation"] == between  # between true labels, though the training set has wrong ones
    assert report.axes["memorization"] == learnt and learnt["num_wrong_labels"] > 5
    for name, array in (flags | by_pair).items():
        assert np.array_equal(report.predictions[name], array), name
    assert np.array_equal(report.predictions["train_predicted"], predicted)
    assert report.axes["adversarial"]["num_samples"] == 20 and report.axes["clean"]["accuracy"]["n"] == 30


def test_they_are_measured_when_asked_for(model, sets):
    report = evaluate_robustness(*model, sets[0], corruptions=["fog"], progress=False)
    assert {axis: report.content["left_out"][axis] for axis in MORE} == dict.fromkeys(MORE, "not asked for")


def test_what_cannot_be_measured_says_why(model, sets):
    net, processor = model

    def plain(images, return_tensors):
        return processor(images=images, return_tensors=return_tensors)

    report = evaluate_robustness(net, plain, sets[0], MORE, pairs=4, progress=False)
    left_out = report.content["left_out"]
    assert "does not state the mean and standard deviation" in left_out["adversarial"]
    assert left_out["memorization"] == "no training data given (reference=)"
    assert "clean" in left_out and set(report.axes) == {"interpolation"}
    assert report.axes["interpolation"]["data"] == "test"
    clean = as_labelled(pictures(10), name="train")
    report = evaluate_robustness(*model, sets[0], ["memorization"], reference=clean, progress=False)
    assert "train with label_noise" in report.content["left_out"]["memorization"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threats": [Threat(eps=("300/255",))]}, "beyond the whole range"),
        ({"threats": [Threat(), Threat()]}, "several threats in linf"),
        ({"pairs": 0}, "pairs is a whole number from 1, not 0"),
    ],
)
def test_a_wrong_setting_is_an_error_before_anything_runs(model, sets, settings, message):
    with pytest.raises(ValueError, match=message):
        measure(model, sets, **settings)


def test_training_data_of_another_kind_is_refused(model, sets):
    sound = clips([np.zeros(400)] * 4, [0, 1, 1, 0]).cast_column("label", ClassLabel(names=NAMES[:2]))
    with pytest.raises(ValueError, match="the reference set holds audio, the test set image"):
        measure(model, sets, reference=sound)


def test_a_report_with_all_axes_is_saved_read_and_shown(report, tmp_path):
    report.save(tmp_path)
    again = RobustnessReport.load(tmp_path)
    assert again == report and np.array_equal(again.predictions["pair_rows"], report.predictions["pair_rows"])
    page = (tmp_path / "report.html").read_text()
    for text in ("Adversarial input", "In between examples", "12 random pairs from the train set", "2 steps"):
        assert text in page, text
    for axis in MORE:
        assert (tmp_path / "figures" / f"{axis}.png").stat().st_size > 10_000
    found = headlines(report.axes)
    assert {"PGD L∞ 4/255 accuracy, % ↑", "PGD L2 0.5 accuracy, % ↑", "last test error, % ↓"} <= set(found)
    assert found["last test error, % ↓"].startswith("73.3 [")
    said = " ".join(sentences(report.axes))
    assert "PGD within L∞ 4/255 leaves" in said and "the class of neither" in said and "by heart" in said
    listed = {(result.dataset_config, result.metric_name) for result in eval_results(report, "x", "image")}
    assert ("attacked by pgd, linf 4/255", "robust accuracy") in listed
    assert ("attacked by fgsm, linf 1/255", "robust accuracy") in listed
    assert len(listed) == len(eval_results(report, "x", "image"))  # no two under one name


def test_two_models_compare_pair_by_pair_and_attack_by_attack(report, sets, tmp_path):
    other = measure(load_backbone("test_resnet", NAMES, pretrained=False, image_size=32), sets)
    found = paired_differences(report.predictions, other.predictions, 0)
    ours, theirs = dict(report.estimates()), dict(other.estimates())
    paths = [path for path in ours if path.endswith("robust_accuracy")]
    paths += [f"interpolation/{name}" for name in ("miss_rate", "gradient_norm", "entropy_between")]
    assert len(paths) == 2 * 3 + 1 + 3
    for path in paths:
        assert found[path]["value"] == pytest.approx(theirs[path]["value"] - ours[path]["value"], abs=1e-12)
        assert found[path]["n"] == ours[path]["n"]
    for name, one in (("a", report), ("b", other)):
        one.save(tmp_path / name)
    text = compare([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert text.count("miss rate in between") == 2 and text.count("PGD L∞ 4/255 accuracy") == 2
    assert "gradient_norm" in (tmp_path / "comparison.json").read_text()


def test_other_pairs_or_other_attacks_do_not_compare(model, report, sets, tmp_path):
    report.save(tmp_path / "a")
    for name, settings in (("pairs", {"pairs": 11}), ("attacks", {"attack_samples": 19})):
        measure(model, sets, **settings).save(tmp_path / name)
        with pytest.raises(ValueError, match=f"not measured on the same {name}"):
            compare([tmp_path / "a", tmp_path / name])


def test_sound_is_attacked_as_a_waveform():
    rng = np.random.default_rng(0)
    data = clips([rng.normal(0, 0.1, 4_000) for _ in range(6)], [0, 1] * 3)
    model = load_backbone("lenet_audio", ["a", "b"], pretrained=False, clip_seconds=0.25)
    report = evaluate_robustness(
        *model, data, MORE[:2], threats=[Threat(eps=(0.01,), steps=2)], pairs=3, progress=False
    )
    found = report.axes["adversarial"]["linf"]["fgsm"]["0.01"]
    assert set(report.axes) == set(MORE[:2]) and "snr_db" in found
    assert report.axes["adversarial"]["applied"].startswith("to the clip")
