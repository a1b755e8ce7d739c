"""The curves are drawn from the report's own figures."""

import numpy as np
import pytest
from predictions import softmax_and_labels

from hfmix.robustness.axes.ood import ood_axis
from hfmix.robustness.axes.ood_scores import SCORES, Score, max_logit, ood_scores
from hfmix.robustness.axes.selective import selective_axis
from hfmix.robustness.presentation.ood import draw_roc
from hfmix.robustness.presentation.selective import draw_risk_coverage


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


@pytest.mark.parametrize("ideal", [False, True])
def test_risk_and_coverage(ideal):
    """A model that is less sure wherever it is wrong has the best possible curve."""
    logits, _, labels = softmax_and_labels(200)
    log_prob, labels = logits.log_softmax(1).numpy(), labels.numpy()
    if ideal:
        wrong = log_prob.argmax(1) != labels
        log_prob[wrong] -= 100  # only the order matters here
    axis = selective_axis(log_prob, labels, seed=0)
    figure = draw_risk_coverage(axis)
    drawn, curve = lines(figure.axes[0]), axis["risk_coverage_curve"]
    expected = 100 * np.column_stack([curve["coverage"], curve["risk"]])
    assert drawn["this model"] == pytest.approx(expected)
    assert (drawn["best possible"] <= expected + 1e-9).all()
    assert np.allclose(drawn["best possible"], expected) == ideal
    assert figure.axes[0].get_title() == f"Selective prediction: AURC {100 * axis['aurc']['value']:.2f} %"


def test_roc_curves_have_their_auroc_in_the_legend():
    inside, outside = (ood_scores(softmax_and_labels(100, seed=seed)[0].numpy() * (2 - seed)) for seed in (0, 1))
    axis = ood_axis(inside, outside, seed=0)
    figure = draw_roc({"near": axis, "far_away": axis})
    assert [ax.get_title() for ax in figure.axes][1] == "ROC: far away"
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(labels) == 5 and labels == sorted(labels, reverse=True)  # all but Dempster–Shafer
    label = f"{100 * axis['energy']['auroc']['value']:.1f}  energy"
    roc = axis["energy"]["roc"]
    assert lines(figure.axes[0])[label] == pytest.approx(100 * np.column_stack([roc["fpr"], roc["tpr"]]))


@pytest.fixture
def equal_scores(monkeypatch):
    """An OOD set with the same curve for every score of the table, an eighth one that is drawn included."""
    monkeypatch.setitem(SCORES, "another", Score(max_logit, "another score", "another"))
    roc = {"fpr": [0.0, 0.5, 1.0], "tpr": [0.0, 0.5, 1.0]}
    return {name: {"auroc": {"value": 0.5}, "roc": roc} for name in sorted(SCORES)}


def test_scores_that_rank_alike_are_in_the_order_of_the_table(equal_scores):
    """Not in that of a set, which differs between processes: equal reports are equal files."""
    labels = [text.get_text() for text in draw_roc({"far": equal_scores}).axes[0].get_legend().get_texts()]
    assert labels == [f"50.0  {score.label}" for score in SCORES.values() if score.label is not None]


def test_more_scores_than_colours_are_drawn(equal_scores):
    curves = draw_roc({"far": equal_scores}).axes[0].get_lines()[1:]  # the first line is chance
    assert len(curves) == 8 and curves[7].get_color() == curves[0].get_color()
