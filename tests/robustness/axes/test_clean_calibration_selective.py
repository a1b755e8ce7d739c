"""The axes that clean logits give hold what the plain metrics give, with the brute-force bootstrap's intervals."""

import json

import numpy as np
import pytest
import torch
from predictions import softmax_and_labels

from hfmix import metrics
from hfmix.robustness.axes.calibration import calibration_axis
from hfmix.robustness.axes.clean import clean_axis
from hfmix.robustness.axes.selective import selective_axis
from hfmix.robustness.report import RobustnessReport


@pytest.fixture(scope="module", params=[False, True], ids=["distinct", "ties"])
def answers(request):
    """Log-probabilities and labels; class 6 has no example; with ties, five levels of logits."""
    logits, _, labels = softmax_and_labels(300)
    logits = logits.round() if request.param else logits
    return logits.log_softmax(1).numpy(), np.minimum(labels.numpy(), 5)


def check(axis):
    """Every figure lies in its interval, and all is plain JSON."""
    json.dumps(axis, allow_nan=False)
    found = dict(RobustnessReport({"axes": axis}).estimates())
    for name, figure in found.items():
        assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1] and figure["n"] == 300, name
    return {name: figure["value"] for name, figure in found.items()}


def test_clean(answers):
    log_prob, labels = answers
    axis = clean_axis(log_prob, labels, seed=0)
    values = check(axis)
    assert values == {
        "accuracy": metrics.top_k_accuracy(log_prob, labels),
        "top5_accuracy": metrics.top_k_accuracy(log_prob, labels, 5),
        "nll": pytest.approx(metrics.negative_log_likelihood(log_prob, labels), rel=1e-12),
    }
    by_class, correct = axis["accuracy_by_class"], log_prob.argmax(1) == labels
    assert sum(by_class["count"]) == 300 and [by_class[key][6] for key in by_class] == [None, None, None, 0]
    for k in range(6):
        n, right = int((labels == k).sum()), int(correct[labels == k].sum())
        found = by_class["accuracy"][k], by_class["low"][k], by_class["high"][k], by_class["count"][k]
        assert found == (right / n, *metrics.wilson_interval(right, n), n)


def test_five_classes_have_no_top_five(answers):
    log_prob, labels = answers
    assert "top5_accuracy" not in clean_axis(log_prob[:, :5], np.minimum(labels, 4), seed=0)


def test_calibration(answers):
    log_prob, labels = answers
    prob = np.exp(log_prob)
    axis = calibration_axis(log_prob, labels, seed=3)
    assert check(axis) == {
        "ece_15": pytest.approx(metrics.expected_calibration_error(prob, labels), abs=1e-12),
        "adaptive_ece_15": pytest.approx(metrics.adaptive_calibration_error(prob, labels), abs=1e-12),
        "classwise_ece_15": pytest.approx(metrics.classwise_calibration_error(prob, labels), abs=1e-12),
        "brier": pytest.approx(metrics.brier_score(prob, labels), abs=1e-12),
        "mean_confidence": pytest.approx(prob.max(1).mean(), abs=1e-12),
    }
    for key, metric in (
        ("ece_15", metrics.expected_calibration_error),
        ("adaptive_ece_15", metrics.adaptive_calibration_error),
        ("classwise_ece_15", metrics.classwise_calibration_error),
        ("brier", metrics.brier_score),
    ):
        expected = metrics.bootstrap_interval(metric, (prob, labels), seed=3, bounds=(0, 2))
        assert axis[key]["ci95"] == pytest.approx(expected, abs=1e-10), key


def test_calibration_after_temperature_scaling(answers):
    log_prob, labels = answers
    temperature = metrics.fit_temperature(log_prob, labels)
    axis = calibration_axis(log_prob, labels, 0, temperature)
    scaled = torch.from_numpy(log_prob / temperature).log_softmax(1).numpy()
    expected = {
        "temperature": temperature,
        "nll": clean_axis(scaled, labels, 0)["nll"],
        **calibration_axis(scaled, labels, 0),
    }
    assert axis.pop("temperature_scaled") == expected
    assert axis == calibration_axis(log_prob, labels, 0)
    assert expected["nll"]["value"] < clean_axis(log_prob, labels, 0)["nll"]["value"]


def test_selective(answers):
    log_prob, labels = answers
    confidence, wrong = log_prob.max(1), log_prob.argmax(1) != labels
    axis = selective_axis(log_prob, labels, seed=5)
    at = {f"risk_at_coverage_{c}": lambda a, b, c=c: metrics.risk_at_coverage(a, b, c / 100) for c in (80, 90, 95)}
    functions = {"aurc": metrics.aurc, "e_aurc": metrics.excess_aurc, **at}
    values = check(axis)
    for key, function in functions.items():
        assert values.pop(key) == pytest.approx(function(confidence, wrong), abs=1e-12)
        expected = metrics.bootstrap_interval(function, (confidence, wrong), seed=5, bounds=(0, 1))
        assert axis[key]["ci95"] == pytest.approx(expected, abs=1e-10), key
    assert not values
    curve = axis["risk_coverage_curve"]
    coverage, risk = metrics.risk_coverage_curve(confidence, wrong)
    index = np.searchsorted(coverage, np.array(curve["coverage"]) - 1e-9)
    assert len(index) == 100 and index[0] == 0 and index[-1] == 299
    assert curve["risk"] == pytest.approx(risk[index], abs=1e-12)


def test_one_example_is_enough():
    log_prob = np.log([[0.5, 0.25, 0.25]])
    for axis in (clean_axis, calibration_axis, selective_axis):
        found = RobustnessReport({"axes": axis(log_prob, np.array([1]), 0)})
        assert all(f["ci95"][0] <= f["value"] <= f["ci95"][1] for _, f in found.estimates())
    assert selective_axis(log_prob, np.array([1]), 0)["risk_coverage_curve"] == {"coverage": [1.0], "risk": [1.0]}
