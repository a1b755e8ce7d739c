"""Accuracy, likelihood and precision against scikit-learn, torch and torchmetrics."""

import numpy as np
import pytest
import torch
from predictions import softmax_and_labels
from sklearn.metrics import average_precision_score, log_loss, top_k_accuracy_score

from hfmix import metrics


def test_nll_and_brier():
    logits, probs, labels = softmax_and_labels()
    assert metrics.negative_log_likelihood(logits, labels) == pytest.approx(log_loss(labels, probs), rel=1e-9)
    one_hot = torch.nn.functional.one_hot(labels, 7)
    expected = ((probs - one_hot) ** 2).sum(1).mean().item()
    assert metrics.brier_score(probs, labels) == pytest.approx(expected, rel=1e-9)


def test_large_sets_are_read_in_parts():
    """3,000 × 100 is more than one part of 65,536 elements."""
    logits, _, labels = softmax_and_labels(3000, 100)
    expected = torch.nn.functional.cross_entropy(logits, labels).item()
    assert metrics.negative_log_likelihood(logits, labels) == pytest.approx(expected, rel=1e-12)
    assert metrics.top_k_accuracy(logits, labels, 5) == top_k_accuracy_score(labels, logits, k=5)


def test_the_nll_of_float32_logits_is_summed_in_float64():
    logits = torch.tensor([[0.0, 1e-6]]).repeat(10_000, 1)
    expected = np.log1p(np.exp(np.float64(np.float32(1e-6))))
    found = metrics.negative_log_likelihood(logits, torch.zeros(10_000, dtype=torch.long))
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_views_and_read_only_arrays_will_do():
    """As from Arrow, which torch warns of, and turned round, which it refuses."""
    logits, _, labels = (tensor.numpy() for tensor in softmax_and_labels())
    expected = metrics.negative_log_likelihood(logits, labels)
    turned = np.ascontiguousarray(logits[::-1])[::-1]
    turned.flags.writeable = False
    assert metrics.negative_log_likelihood(turned, labels) == expected
    assert metrics.negative_log_likelihood(torch.from_numpy(logits).requires_grad_(), labels) == expected


@pytest.mark.parametrize("k", [1, 2, 7])
def test_top_k_equals_scikit_learn(k):
    logits, probs, labels = softmax_and_labels()
    expected = top_k_accuracy_score(labels, logits, k=k, labels=range(7)) if k < 7 else 1.0
    assert metrics.top_k_accuracy(logits, labels, k) == expected == metrics.top_k_accuracy(probs, labels, k)


def test_a_constant_model_is_not_counted_as_right():
    labels = np.arange(10)
    for k in (1, 5):
        assert metrics.top_k_accuracy(np.zeros((10, 10)), labels, k) == k / 10
    tied = np.random.default_rng(0).integers(3, size=(200, 10))
    labels = np.random.default_rng(1).integers(10, size=200)
    assert metrics.top_k_accuracy(tied, labels) == (tied.argmax(1) == labels).mean()


@pytest.mark.parametrize("ties", [False, True])
def test_mean_average_precision_equals_scikit_learn(ties):
    rng = np.random.default_rng(0)
    targets = rng.random((300, 6)) < [0.5, 0.1, 0.01, 0.9, 0.3, 0]
    targets[0, :5] = True
    scores = rng.normal(size=(300, 6)) + targets
    scores = scores.round(0) if ties else scores
    by_class = metrics.average_precision_by_class(scores, targets)
    expected = [average_precision_score(targets[:, k], scores[:, k]) for k in range(5)]
    assert by_class[:5] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(by_class).tolist() == [False] * 5 + [True]
    mean = metrics.mean_average_precision(scores, targets.astype(int))
    assert mean == pytest.approx(np.mean(expected), abs=1e-12)


def test_mean_average_precision_equals_torchmetrics():
    peer = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(1)
    targets = torch.from_numpy(rng.random((200, 4)) < 0.3).long()
    scores = torch.from_numpy(rng.random((200, 4)))
    theirs = peer.multilabel_average_precision(scores, targets, 4).item()
    assert metrics.mean_average_precision(scores, targets) == pytest.approx(theirs, abs=1e-6)


def test_bad_input_is_named():
    logits, probs, labels = softmax_and_labels(n=4)
    with pytest.raises(ValueError, match="7 classes"):
        metrics.negative_log_likelihood(logits, labels + 7)
    with pytest.raises(ValueError, match="look like probabilities"):
        metrics.negative_log_likelihood(probs, labels)
    with pytest.raises(ValueError, match="logits are not finite, first in row 0"):
        metrics.negative_log_likelihood(logits * torch.inf, labels)
    with pytest.raises(ValueError, match="k is from 1 to the number of classes, 7, not 8"):
        metrics.top_k_accuracy(logits, labels, 8)
    with pytest.raises(ValueError, match="soft targets"):
        metrics.mean_average_precision(logits, probs)
    with pytest.raises(ValueError, match=r"not \(4, 7\) and \(4,\)"):
        metrics.mean_average_precision(logits, labels)
    with pytest.raises(ValueError, match="none of the 7 classes"):
        metrics.mean_average_precision(logits, torch.zeros(4, 7))
    with pytest.raises(ValueError, match="partly NaN, first in row 0"):
        metrics.mean_average_precision(logits * torch.nan, torch.ones(4, 7))
