"""Metrics against scikit-learn, naive loops and published edge cases."""

import numpy as np
import pytest
import torch
from scipy.stats import beta
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from hfmix import metrics


def softmax_and_labels(n=500, c=7, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, c)) * 2
    labels = np.where(rng.random(n) < 0.6, logits.argmax(1), rng.integers(c, size=n))
    return torch.from_numpy(logits), torch.from_numpy(logits).softmax(1), torch.from_numpy(labels)


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


@pytest.mark.parametrize("num_bins", range(10, 16))
def test_ece_counts_a_confidence_of_one(num_bins):
    """Guo et al.'s bins are (lo, hi]; libraries with [lo, hi) put 1.0 into a bin of its own and get .525."""
    bins = metrics.reliability_bins(np.array([0.95, 1.0]), np.array([True, False]), num_bins)
    assert bins.calibration_error() == pytest.approx(0.475)


def test_nll_and_brier():
    logits, probs, labels = softmax_and_labels()
    assert metrics.negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, probs), rel=1e-9)
    one_hot = torch.nn.functional.one_hot(labels, 7)
    expected = ((probs - one_hot) ** 2).sum(1).mean().item()
    assert metrics.brier_score(probs, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_detection_against_scikit_learn(ties):
    rng = np.random.default_rng(1)
    inside, outside = rng.beta(8, 2, 900), rng.beta(3, 2, 700)
    if ties:
        inside, outside = inside.round(1), outside.round(1)
    scores, is_id = np.concatenate([inside, outside]), np.repeat([1, 0], [900, 700])
    assert metrics.auroc(inside, outside) == pytest.approx(roc_auc_score(is_id, scores), abs=1e-12)
    fpr, tpr, _ = roc_curve(1 - is_id, -scores, drop_intermediate=False)
    assert metrics.fpr_at_95_tpr(inside, outside) == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)


def test_fpr95_takes_ood_as_positive():
    """With ID as the positive class it would be .57 (100,000 draws: five standard deviations are below .01)."""
    rng = np.random.default_rng(2)
    inside, outside = rng.beta(8, 2, 100_000), rng.beta(3, 2, 100_000)
    assert metrics.fpr_at_95_tpr(inside, outside) == pytest.approx(beta(8, 2).cdf(beta(3, 2).ppf(0.95)), abs=0.01)


def test_wilson_interval():
    assert metrics.wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert metrics.wilson_interval(0, 10)[0] == 0.0
    assert metrics.wilson_interval(10, 10)[1] == pytest.approx(1.0)


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean():
    values = np.random.default_rng(3).normal(size=2000)
    bootstrap = metrics.bootstrap_interval(lambda v: v.mean(), (values,), seed=0, draws=2000)
    assert bootstrap == pytest.approx(metrics.mean_interval(values), abs=0.004)
    assert bootstrap == metrics.bootstrap_interval(lambda v: v.mean(), (values,), seed=0, draws=2000)


def test_the_interval_of_ece_holds_its_value():
    """Resampling inflates ECE: the plain percentile interval of a calibrated model often lies above its value."""
    rng = np.random.default_rng(4)
    for seed in range(20):
        confidence = rng.uniform(0.5, 1, 540)
        correct = rng.random(540) < confidence
        ece = lambda *a: metrics.reliability_bins(*a).calibration_error()  # noqa: E731
        low, high = metrics.bootstrap_interval(ece, (confidence, correct), seed=seed, bounds=(0, 1))
        assert 0 <= low <= ece(confidence, correct) <= high


def test_one_value_has_the_widest_interval():
    assert metrics.mean_interval(np.array([0.3]), (0, 1)) == (0, 1)


def test_bad_input_is_named():
    logits, probs, labels = softmax_and_labels(n=4)
    with pytest.raises(ValueError, match="look like logits"):
        metrics.expected_calibration_error(logits, labels)
    with pytest.raises(ValueError, match="N > 0"):
        metrics.brier_score(probs[:0], labels[:0])
    with pytest.raises(ValueError, match="7 classes"):
        metrics.negative_log_likelihood(logits, labels + 7)
    with pytest.raises(ValueError, match="the OOD scores are empty"):
        metrics.auroc(np.ones(3), np.ones(0))
    with pytest.raises(ValueError, match="the ID scores are partly NaN"):
        metrics.auroc(np.array([1, np.nan]), np.ones(2))
