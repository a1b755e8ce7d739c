"""Calibration errors against loops over bins, torchmetrics, and published edge cases."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from predictions import softmax_and_labels

from hfmix import metrics
from hfmix.metrics.calibration import ClasswiseBins

GUO = np.array([[0.05, 0.95], [0.0, 1.0]]), np.array([1, 0])  # one right at .95, one wrong at 1


def test_ece_equals_a_loop_over_bins():
    _, probs, labels = softmax_and_labels()
    confidence, predicted = probs.max(1)
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            gap = (predicted == labels)[inside].double().mean() - confidence[inside].mean()
            expected += abs(gap.item()) * inside.double().mean().item()
    assert metrics.expected_calibration_error(probs, labels) == pytest.approx(expected, abs=1e-12)


def test_ece_equals_torchmetrics_where_no_confidence_is_an_edge():
    peer = pytest.importorskip("torchmetrics.functional.classification")
    _, probs, labels = softmax_and_labels(2000)
    ours = metrics.expected_calibration_error(probs, labels)
    assert ours == pytest.approx(peer.multiclass_calibration_error(probs, labels, 7, n_bins=15).item(), abs=1e-6)


@pytest.mark.parametrize("num_bins", range(10, 16))
def test_ece_counts_a_confidence_of_one(num_bins):
    """Guo et al.'s bins are (lo, hi]; libraries with [lo, hi) put 1.0 into a bin of its own and get .525."""
    assert metrics.expected_calibration_error(*GUO, num_bins) == pytest.approx(0.475)


def test_torchmetrics_differs_at_a_confidence_of_one():
    """If this fails, torchmetrics has changed its bins, and the docstring's warning is out of date."""
    peer = pytest.importorskip("torchmetrics.functional.classification")
    probs, labels = map(torch.from_numpy, GUO)
    assert peer.multiclass_calibration_error(probs, labels, 2, n_bins=10).item() == pytest.approx(0.525)


def test_bins_are_open_below_and_closed_above():
    """0.7 * 10 rounds to more than 7: an index from a product would put .7 into the bin above."""
    edges = np.arange(1, 11) / 10
    assert metrics.reliability_bins(edges, np.ones(10), 10).count.tolist() == [1] * 10
    above = np.nextafter(edges[:-1], 1)
    assert metrics.reliability_bins(above, np.ones(9), 10).count.tolist() == [0] + [1] * 9
    assert metrics.reliability_bins(np.zeros(1), np.ones(1), 10).count[0] == 1


def adaptive_by_loop(probs, labels, num_bins, drop_smallest):
    """Mukhoti et al.'s definition; their code also drops the smallest confidence."""
    confidence, predicted = probs.max(1)
    correct = (predicted == labels).double()
    n = len(labels)
    edges = np.interp(np.linspace(0, n, num_bins + 1), np.arange(n), np.sort(confidence))
    if not drop_smallest:
        edges[0] = -1
    error = 0.0
    for lo, hi in pairwise(edges):
        inside = (confidence > lo) & (confidence <= hi)
        if inside.any():
            error += (abs(correct[inside].mean() - confidence[inside].mean()) * inside.double().mean()).item()
    return error


@pytest.mark.parametrize("n", [3, 16, 501])
def test_adaptive_error_equals_a_loop_over_bins(n):
    _, probs, labels = softmax_and_labels(n)
    ours = metrics.adaptive_calibration_error(probs, labels)
    assert ours == pytest.approx(adaptive_by_loop(probs, labels, 15, drop_smallest=False), abs=1e-12)
    published = adaptive_by_loop(probs, labels, 15, drop_smallest=True)
    assert 0 < abs(ours - published) <= 1 / n


def test_adaptive_error_does_not_depend_on_the_order_of_ties():
    _, probs, labels = softmax_and_labels()
    confidence = probs.max(1).values.numpy().round(1)  # some ten levels, each over several bins
    rounded = np.column_stack([confidence, 1 - confidence])
    labels, order = (labels > 2).long().numpy(), np.random.default_rng(0).permutation(500)
    first = metrics.adaptive_calibration_error(rounded, labels)
    assert first == pytest.approx(metrics.adaptive_calibration_error(rounded[order], labels[order]), abs=1e-12)
    by_loop = adaptive_by_loop(*map(torch.from_numpy, (rounded, labels)), 15, drop_smallest=False)
    assert first == pytest.approx(by_loop, abs=1e-12)


def test_classwise_error_is_the_mean_of_binary_errors():
    _, probs, labels = softmax_and_labels(800)
    binary = [
        metrics.reliability_bins(probs[:, k].numpy(), (labels == k).numpy(), 15).calibration_error()
        for k in range(7)
    ]
    assert metrics.classwise_calibration_error(probs, labels) == pytest.approx(np.mean(binary), abs=1e-12)
    peer = pytest.importorskip("torchmetrics.functional.classification")
    theirs = [peer.binary_calibration_error(probs[:, k], labels == k, n_bins=15).item() for k in range(7)]
    assert np.mean(binary) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_classwise_error_of_certainty():
    right = np.eye(3)[[0, 1, 1]]  # class 2 has no example
    assert metrics.classwise_calibration_error(right, [0, 1, 1]) == 0
    assert metrics.classwise_calibration_error(right, [1, 0, 0]) == pytest.approx(2 / 3)  # 1, 1 and 0


def test_classwise_errors_of_resamples():
    _, probs, labels = softmax_and_labels(200)
    counts = np.random.default_rng(1).multinomial(200, [1 / 200] * 200, size=3)
    expected = [
        metrics.classwise_calibration_error(probs.numpy().repeat(c, axis=0), labels.numpy().repeat(c))
        for c in counts
    ]
    found = ClasswiseBins.of(probs, labels).calibration_errors(counts.astype(float))
    assert found == pytest.approx(expected, abs=1e-12)


def test_bad_input_is_named():
    logits, probs, labels = softmax_and_labels(n=4)
    for error in (
        metrics.expected_calibration_error,
        metrics.adaptive_calibration_error,
        metrics.classwise_calibration_error,
        metrics.brier_score,
    ):
        with pytest.raises(ValueError, match=r"look like logits \(row 0 sums to"):
            error(logits, labels)
        with pytest.raises(ValueError, match="N > 0"):
            error(probs[:0], labels[:0])
        with pytest.raises(ValueError, match="labels reach from 7 to"):
            error(probs, labels % 1 + 7)
        with pytest.raises(ValueError, match="labels are integers"):
            error(probs, labels.float())
        with pytest.raises(ValueError, match="probs are not finite, first in row 2"):
            error(torch.where(torch.arange(4)[:, None] == 2, torch.nan, probs), labels)
    with pytest.raises(ValueError, match="num_bins is at least 1, not 0"):
        metrics.expected_calibration_error(probs, labels, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 0.02)])
def test_half_precision_will_do(dtype, tolerance):
    """Tolerances are about twice the rounding of one value."""
    logits, probs, labels = softmax_and_labels(50)
    expected = metrics.negative_log_likelihood(logits, labels)
    assert metrics.negative_log_likelihood(logits.to(dtype), labels) == pytest.approx(expected, rel=tolerance)
    if dtype is torch.float16:
        expected = metrics.brier_score(probs.tolist(), labels.tolist())
        assert metrics.brier_score(probs.half(), labels) == pytest.approx(expected, rel=tolerance)
