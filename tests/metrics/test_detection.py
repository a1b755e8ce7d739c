"""Detection against scikit-learn and torchmetrics, both ways round, with and without ties."""

import numpy as np
import pytest
import torch
from scipy.stats import beta
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import roc_curve as sk_roc_curve

from hfmix import metrics
from hfmix.metrics.detection import Thresholds, auroc_of_counts, fpr95_of_counts, reversed_counts


def beta_scores(ties=False, n=900, m=700, seed=1):
    rng = np.random.default_rng(seed)
    inside, outside = rng.beta(8, 2, n), rng.beta(3, 2, m)
    return (inside.round(1), outside.round(1)) if ties else (inside, outside)


@pytest.mark.parametrize("ties", [False, True])
def test_detection_against_scikit_learn(ties):
    inside, outside = beta_scores(ties)
    scores, is_id = np.concatenate([inside, outside]), np.repeat([1, 0], [900, 700])
    assert metrics.auroc(inside, outside) == pytest.approx(roc_auc_score(is_id, scores), abs=1e-12)
    for positive, truth, score in (("in", is_id, scores), ("out", 1 - is_id, -scores)):
        ours = metrics.aupr(inside, outside, positive)
        assert ours == pytest.approx(average_precision_score(truth, score), abs=1e-12)
        fpr, tpr, _ = sk_roc_curve(truth, score, drop_intermediate=False)
        expected = fpr[np.argmax(tpr >= 0.95)]
        assert metrics.fpr_at_95_tpr(inside, outside, positive) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_detection_against_torchmetrics(ties):
    peer = pytest.importorskip("torchmetrics.functional.classification")
    inside, outside = beta_scores(ties)
    scores = torch.from_numpy(np.concatenate([inside, outside]))
    is_id = torch.tensor([1] * 900 + [0] * 700)
    assert metrics.auroc(inside, outside) == pytest.approx(peer.binary_auroc(scores, is_id).item(), abs=1e-6)
    theirs = peer.binary_average_precision(scores, is_id).item()
    assert metrics.aupr(inside, outside) == pytest.approx(theirs, abs=1e-6)


def test_both_conventions_of_fpr95():
    """100,000 draws: five standard deviations are below .01, and the two figures are .21 apart."""
    inside, outside = beta_scores(n=100_000, m=100_000, seed=2)
    expected = beta(8, 2).cdf(beta(3, 2).ppf(0.95)), beta(3, 2).sf(beta(8, 2).ppf(0.05))
    assert expected == pytest.approx((0.783, 0.574), abs=1e-3)
    assert metrics.fpr_at_95_tpr(inside, outside) == pytest.approx(expected[0], abs=0.01)
    assert metrics.fpr_at_95_tpr(inside, outside, "in") == pytest.approx(expected[1], abs=0.01)


def test_95_per_cent_is_counted_exactly():
    """19 of 20 are enough, 18 are not; one example has to be found itself."""
    ood = np.arange(20)
    assert metrics.fpr_at_95_tpr(np.array([18.0, 18.5]), ood) == 0.5
    assert metrics.fpr_at_95_tpr(np.array([1.0]), np.array([0.0])) == 0
    assert metrics.fpr_at_95_tpr(np.array([1.0]), np.array([1.0])) == 1


def test_turning_the_scores_round_turns_the_sides_round():
    inside, outside = beta_scores(ties=True)
    assert metrics.auroc(inside, outside) == pytest.approx(1 - metrics.auroc(outside, inside), abs=1e-12)
    for metric in (metrics.aupr, metrics.fpr_at_95_tpr):
        assert metric(inside, outside, "in") == pytest.approx(metric(-outside, -inside, "out"), abs=1e-12)


def test_average_precision_and_the_trapezoid():
    """The two agree on distinct scores; on a constant one the trapezoid is far above chance."""

    def trapezoid(inside, outside):
        truth = np.repeat([1, 0], [len(inside), len(outside)])
        precision, recall, _ = precision_recall_curve(truth, np.concatenate([inside, outside]))
        return auc(recall, precision)

    inside, outside = beta_scores(n=5000, m=5000)
    assert metrics.aupr(inside, outside) == pytest.approx(trapezoid(inside, outside), abs=1e-3)
    constant = np.ones(30), np.ones(70)
    assert metrics.aupr(*constant) == pytest.approx(0.3) and trapezoid(*constant) == pytest.approx(0.65)
    assert metrics.aupr(*constant, "out") == pytest.approx(0.7)


@pytest.mark.parametrize("ties", [False, True])
def test_the_roc_curve_and_a_shorter_one(ties):
    inside, outside = beta_scores(ties)
    fpr, tpr = metrics.roc_curve(inside, outside)
    assert auc(fpr, tpr) == pytest.approx(metrics.auroc(inside, outside), abs=1e-12)
    short = metrics.roc_curve(inside, outside, max_points=50)
    assert len(short[0]) <= 50 and (short[0][0], short[1][0], short[0][-1], short[1][-1]) == (0, 0, 1, 1)
    assert set(zip(*short, strict=True)) <= set(zip(fpr, tpr, strict=True))
    assert auc(*short) == pytest.approx(auc(fpr, tpr), abs=0.005)
    if not ties:  # evenly spaced along the curve
        assert np.diff(short[0] + short[1]) == pytest.approx(2 / 49, abs=0.005)


@pytest.mark.parametrize("ties", [False, True])
def test_counts_of_resamples(ties):
    inside, outside = beta_scores(ties, 90, 70)
    rng = np.random.default_rng(3)
    drawn = rng.multinomial(90, [1 / 90] * 90, size=4), rng.multinomial(70, [1 / 70] * 70, size=4)
    counts = Thresholds(inside, outside).counts_of(*drawn)
    resamples = [(inside.repeat(a), outside.repeat(b)) for a, b in zip(*drawn, strict=True)]
    assert auroc_of_counts(*counts) == pytest.approx([metrics.auroc(*r) for r in resamples], abs=1e-12)
    expected = [metrics.fpr_at_95_tpr(*r) for r in resamples]
    assert fpr95_of_counts(*reversed_counts(*counts)) == pytest.approx(expected, abs=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="the OOD scores are empty"):
        metrics.auroc(np.ones(3), np.ones(0))
    with pytest.raises(ValueError, match="the ID scores are partly NaN"):
        metrics.auroc(np.array([1, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match=r"the ID scores are \(N,\), not \(2, 2\)"):
        metrics.aupr(np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match='positive is "in" or "out", not \'id\''):
        metrics.fpr_at_95_tpr(np.ones(2), np.ones(2), "id")
