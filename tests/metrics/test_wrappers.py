"""The evaluate.Metrics give what the plain functions give, batch by batch and without a network."""

import pickle

import evaluate
import numpy as np
import pytest
import torch
from predictions import softmax_and_labels

from hfmix import metrics
from hfmix.metrics import wrappers

CLASSIFIERS = {
    wrappers.ExpectedCalibrationError: metrics.expected_calibration_error,
    wrappers.AdaptiveCalibrationError: metrics.adaptive_calibration_error,
    wrappers.ClasswiseCalibrationError: metrics.classwise_calibration_error,
    wrappers.BrierScore: metrics.brier_score,
    wrappers.NegativeLogLikelihood: metrics.negative_log_likelihood,
    wrappers.TopKAccuracy: metrics.top_k_accuracy,
}


@pytest.mark.parametrize("kind", [torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.clone])
def test_a_combination_takes_logits_once(no_network, kind):
    logits, probs, labels = softmax_and_labels(100)
    together = evaluate.combine([wrapper() for wrapper in CLASSIFIERS])
    for start in range(0, 100, 30):
        span = slice(start, start + 30)
        together.add_batch(predictions=kind(logits[span]), references=kind(labels[span]))
    found = together.compute()
    assert set(found) == {function.__name__ for function in CLASSIFIERS.values()}
    for function in CLASSIFIERS.values():
        takes_logits = function in (metrics.negative_log_likelihood, metrics.top_k_accuracy)
        expected = function(logits if takes_logits else probs, labels)
        assert found[function.__name__] == pytest.approx(expected, abs=1e-12)


def test_what_else_the_function_takes_goes_to_compute():
    logits, probs, labels = softmax_and_labels(100)
    found = wrappers.ExpectedCalibrationError().compute(predictions=logits, references=labels, num_bins=3)
    expected = metrics.expected_calibration_error(probs, labels, 3)
    assert found["expected_calibration_error"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("wrapper", "function", "more"),
    [
        (wrappers.Auroc, metrics.auroc, {}),
        (wrappers.Aupr, metrics.aupr, {"positive": "out"}),
        (wrappers.FprAt95Tpr, metrics.fpr_at_95_tpr, {"positive": "in"}),
    ],
)
def test_detection_takes_one_column_of_scores(wrapper, function, more):
    rng = np.random.default_rng(0)
    inside, outside = rng.beta(8, 2, 60), rng.beta(3, 2, 40)
    scores, is_id = np.concatenate([inside, outside]), np.repeat([1, 0], [60, 40])
    metric, order = wrapper(), rng.permutation(100)
    metric.add_batch(predictions=scores[order], references=is_id[order])
    assert metric.compute(**more) == {function.__name__: function(inside, outside, **more)}
    with pytest.raises(ValueError, match="references are 1 for ID and 0 for OOD, not"):
        wrapper().compute(predictions=scores, references=2 * is_id)


def test_several_labels_an_example():
    rng = np.random.default_rng(1)
    scores, targets = rng.normal(size=(50, 4)), rng.integers(2, size=(50, 4))
    found = wrappers.MeanAveragePrecision().compute(predictions=scores, references=targets)
    assert found == {"mean_average_precision": metrics.mean_average_precision(scores, targets)}


def test_probabilities_in_the_place_of_logits_are_refused():
    _, probs, labels = softmax_and_labels(10)
    with pytest.raises(ValueError, match="look like probabilities"):
        wrappers.BrierScore().compute(predictions=probs, references=labels)


def test_a_metric_can_be_pickled_and_used_twice():
    logits, _, labels = softmax_and_labels(10)
    metric = pickle.loads(pickle.dumps(wrappers.BrierScore()))
    first, second = (metric.compute(predictions=logits, references=labels) for _ in range(2))
    assert first == second and metric.name == "brier_score" and "Brier 1950" in metric.inputs_description
