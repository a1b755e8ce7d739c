"""Scores against SciPy, scikit-learn and extended precision; their figures against the plain metrics."""

import json

import numpy as np
import pytest
import torch
from scipy.special import entr, log_softmax, logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from hfmix import metrics
from hfmix.robustness.axes import ood_scores as scoring
from hfmix.robustness.axes.feature_reference import FeatureReference
from hfmix.robustness.axes.ood import ood_axis, ood_groups
from hfmix.robustness.axes.ood_scores import full_spectrum, ood_scores
from hfmix.robustness.report import RobustnessReport

METRICS = {
    "auroc": metrics.auroc,
    "aupr_in": lambda inside, outside: metrics.aupr(inside, outside, "in"),
    "aupr_out": lambda inside, outside: metrics.aupr(inside, outside, "out"),
    "fpr95_ood_positive": lambda inside, outside: metrics.fpr_at_95_tpr(inside, outside, "out"),
    "fpr95_id_positive": lambda inside, outside: metrics.fpr_at_95_tpr(inside, outside, "in"),
}


def logits(n, scale, seed, c=10):
    return np.random.default_rng(seed).normal(size=(n, c)) * scale


@pytest.fixture(scope="module")
def reference():
    """Features of five classes in eight dimensions, of which one is always 0 and two are the same."""
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=400)
    rows = rng.normal(size=(400, 8)) * [1, 2, 3, 1, 1, 1, 0, 1] + rng.normal(size=(5, 8))[labels]
    rows[:, 6], rows[:, 7] = 0, rows[:, 0]
    return rows, labels


def test_logit_scores_against_scipy():
    z = logits(700, 3, 1, c=100)  # more than one part of 65,536
    found = ood_scores(z)
    assert list(found) == ["msp", "max_logit", "energy", "entropy", "dempster_shafer", "gen"]
    assert found["msp"] == pytest.approx(softmax(z, 1).max(1), rel=1e-12)
    assert (found["max_logit"] == z.max(1)).all()
    assert found["energy"] == pytest.approx(logsumexp(z, 1), rel=1e-12)
    assert found["entropy"] == pytest.approx(-entr(softmax(z, 1)).sum(1), rel=1e-9)
    evidence = np.exp(z).sum(1)
    assert found["dempster_shafer"] == pytest.approx(-100 / (100 + evidence), rel=1e-12)


def test_dempster_shafer_ranks_exactly_as_energy():
    z, other = logits(3000, 8, 2), logits(2000, 4, 3)
    inside, outside = ood_scores(z), ood_scores(other)
    energy, belief = inside["energy"], inside["dempster_shafer"]
    assert (np.argsort(energy) == np.argsort(belief)).all()
    for metric in METRICS.values():
        found = [metric(inside[name], outside[name]) for name in ("energy", "dempster_shafer")]
        assert found[0] == found[1]
    assert np.isfinite(ood_scores(np.array([[2000.0, 0], [-2000, -2000]]))["dempster_shafer"]).all()


@pytest.mark.parametrize(("classes", "top"), [(10, 100), (10, 3), (300, 100)])
def test_gen_keeps_what_rounding_would_lose(classes, top):
    """Against extended precision; 1 - p in float64 would be off by a hundredth and more where p is nearly 1."""
    z = np.concatenate([logits(50, 2, 4, classes), logits(50, 15, 5, classes)])
    wide = z.astype(np.longdouble)
    odds = np.exp(wide - wide.max(1, keepdims=True))
    p = np.sort(odds / odds.sum(1, keepdims=True), axis=1)[:, ::-1]
    others = np.array([[np.delete(row, k).sum() for k in range(top if top < classes else classes)] for row in p])
    expected = -((p[:, : others.shape[1]] * others) ** np.longdouble(0.1)).sum(1)
    assert scoring.generalized_entropy(z, top=top) == pytest.approx(expected.astype(float), rel=1e-9)


def test_nearest_neighbours_against_scikit_learn(reference):
    rows, labels = reference
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (rows, features.astype(float))]
    distances, _ = NearestNeighbors(n_neighbors=50).fit(unit[0]).kneighbors(unit[1])
    found = FeatureReference.fit(rows, labels).nearest_neighbour(torch.from_numpy(features))
    assert found == pytest.approx(-distances[:, -1], abs=1e-5)


def test_mahalanobis_against_scikit_learn(reference):
    """scikit-learn's precision is the pseudo-inverse too, so that the flat directions do not count."""
    rows, labels = reference
    features = np.random.default_rng(2).normal(size=(60, 8))
    means = np.array([rows[labels == k].mean(0) for k in range(5)])
    covariance = EmpiricalCovariance(assume_centered=True).fit(rows - means[labels])
    expected = np.min([covariance.mahalanobis(features - mean) for mean in means], axis=0)
    # class names need not be 0 … K - 1, and float32 features give the same
    found = FeatureReference.fit(torch.from_numpy(rows).float(), 10 * labels + 3).mahalanobis(features)
    assert found == pytest.approx(-expected, rel=1e-4)


def test_figures_and_intervals_are_those_of_the_plain_metrics(reference):
    fitted, rng = FeatureReference.fit(*reference), np.random.default_rng(3)
    inside = ood_scores(logits(150, 4, 6).round(), rng.normal(size=(150, 8)), fitted)
    outside = ood_scores(logits(100, 3, 7).round(), rng.normal(size=(100, 8)) + 1, fitted)
    axis = ood_axis(inside, outside, seed=8)
    json.dumps(axis, allow_nan=False)
    assert axis["n_ood"] == 100 and axis["left_out"] == {}
    figures = dict(RobustnessReport({"axes": axis}).estimates())
    assert set(figures) == {f"{score}/{metric}" for score in inside for metric in METRICS} and len(inside) == 8
    for path, figure in figures.items():
        score, metric = path.split("/")
        pair = inside[score], outside[score]
        assert figure["value"] == pytest.approx(METRICS[metric](*pair), abs=1e-12) and figure["n"] == 250
        if score in ("msp", "knn"):  # the one with ties, the other nearly without
            expected = metrics.bootstrap_interval(METRICS[metric], *[(s,) for s in pair], seed=8, bounds=(0, 1))
            assert figure["ci95"] == pytest.approx(expected, abs=1e-12), path
    fpr, tpr = metrics.roc_curve(inside["gen"], outside["gen"], 50)
    assert axis["gen"]["roc"] == {"fpr": pytest.approx(fpr, abs=1e-5), "tpr": pytest.approx(tpr, abs=1e-5)}
    assert sum(axis["msp_histogram"]["id"]) == 150 and sum(axis["msp_histogram"]["ood"]) == 100


def test_groups_are_means_over_their_sets():
    inside = ood_scores(logits(150, 4, 9))
    sets = {"close": logits(100, 3.5, 10), "closer": logits(60, 3.8, 11), "svhn": logits(80, 1, 12)}
    outside = {name: ood_scores(z) for name, z in sets.items()}
    found = ood_groups(inside, outside, {"near": ["close", "closer"], "far": ["svhn"]}, seed=0)
    assert found["near"]["sets"] == ["close", "closer"]
    for score in inside:
        alone = ood_axis(inside, outside["svhn"], seed=0)[score]
        assert found["far"][score] == {key: alone[key] for key in METRICS}
        for key, metric in METRICS.items():
            mean = np.mean([metric(inside[score], outside[name][score]) for name in ("close", "closer")])
            assert found["near"][score][key]["value"] == pytest.approx(mean, abs=1e-12)

    def mean_auroc(a, b, c):
        return (metrics.auroc(a, b) + metrics.auroc(a, c)) / 2

    triple = [(s["msp"],) for s in (inside, outside["close"], outside["closer"])]
    expected = metrics.bootstrap_interval(mean_auroc, *triple, seed=0, bounds=(0, 1))
    assert found["near"]["msp"]["auroc"]["ci95"] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="group 'near' names 'tin': there are close, closer, svhn"):
        ood_groups(inside, outside, {"near": ["tin"]}, seed=0)
    with pytest.raises(ValueError, match="group 'far' is empty"):
        ood_groups(inside, outside, {"far": []}, seed=0)


def test_the_full_spectrum_is_clean_and_shifted_together():
    clean, shifted, outside = (ood_scores(logits(n, s, n)) for n, s in ((50, 4), (70, 3), (60, 2)))
    together = ood_axis(full_spectrum(clean, shifted), outside, seed=0)
    expected = metrics.auroc(np.concatenate([clean["msp"], shifted["msp"]]), outside["msp"])
    assert together["msp"]["auroc"]["value"] == pytest.approx(expected, abs=1e-12)
    assert together["msp"]["auroc"]["n"] == 180


def test_what_a_score_needs_is_said(reference):
    log_prob = [log_softmax(logits(n, 3, n), axis=1).astype(np.float32) for n in (30, 20)]
    axis = ood_axis(*map(ood_scores, log_prob), seed=0)
    assert set(axis["left_out"]) == {"energy", "dempster_shafer", "knn", "mahalanobis"}
    assert "log-probabilities" in axis["left_out"]["energy"] and "energy" not in axis
    rows, labels = reference
    fitted = FeatureReference.fit(rows, labels)
    with pytest.raises(ValueError, match="give both or neither"):
        ood_scores(logits(4, 1, 0), rows[:4])
    with pytest.raises(ValueError, match="features have 7 columns, the reference 8"):
        fitted.mahalanobis(rows[:, :7])
    with pytest.raises(ValueError, match=r"M of at least 50, not \(49, 8\)"):
        FeatureReference.fit(rows[:49], labels[:49])
    with pytest.raises(ValueError, match="do not vary within their classes"):
        FeatureReference.fit(np.ones((60, 3)), np.zeros(60, int))
    with pytest.raises(ValueError, match="finite"):
        fitted.nearest_neighbour(rows * np.nan)
