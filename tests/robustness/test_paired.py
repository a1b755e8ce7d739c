"""Paired differences are those of a brute-force bootstrap that draws the same examples for both models."""

import numpy as np
import pytest
import torch
from predictions import softmax_and_labels

from hfmix import metrics
from hfmix.metrics.calibration import reliability_bins
from hfmix.robustness.paired import paired_differences, pooled_differences

N, M, K = 200, 60, 90


def answers(quality, seed=0):
    """Predictions of a model that sees the logits through noise; the labels are the same for all."""
    logits, _, labels = softmax_and_labels(N)
    rng = np.random.default_rng(seed)
    prob = (logits * quality + torch.from_numpy(rng.normal(size=logits.shape))).softmax(1).numpy()
    return {
        "label": labels.numpy(),
        "predicted": prob.argmax(1),
        "confidence": prob.max(1),
        "nll": -np.log(prob[np.arange(N), labels]),
        "corrupted_accuracy": rng.integers(76, size=M) / 75,
        "corrupted_row": np.arange(M),
        "msp/far": rng.beta(3, 2, size=K).round(1),  # ties
        "msp/near/er": rng.beta(5, 2, size=K + 1),
    }


def ece(confidence, correct):
    return reliability_bins(confidence, correct, 15).calibration_error()


STATISTICS = {
    "clean/accuracy": (lambda p: (p["predicted"] == p["label"], np.zeros(N)), lambda right, _: right.mean()),
    "clean/nll": (lambda p: (p["nll"], np.zeros(N)), lambda nll, _: nll.mean()),
    "calibration/ece_15": (lambda p: (p["confidence"], p["predicted"] == p["label"]), ece),
    "corruptions/mean_accuracy": (lambda p: (p["corrupted_accuracy"], np.zeros(M)), lambda right, _: right.mean()),
}


@pytest.mark.parametrize("path", STATISTICS)
def test_one_sample(path):
    first, other = answers(0.5), answers(1.5, seed=1)
    arrays, statistic = STATISTICS[path]

    def difference(*both):
        return statistic(*both[2:]) - statistic(*both[:2])

    pair = (*arrays(first), *arrays(other))
    found = paired_differences(first, other, seed=4)[path]
    assert found["value"] == pytest.approx(difference(*pair), abs=1e-12)
    expected = metrics.bootstrap_interval(difference, pair, seed=4)
    assert found["ci95"] == pytest.approx(expected, abs=1e-10) and found["n"] == len(pair[0])


@pytest.mark.parametrize("name", ["far", "near/er"])
def test_two_samples(name):
    first, other = answers(0.5), answers(1.5, seed=1)
    inside, outside = ([p[key] for p in (first, other)] for key in ("confidence", f"msp/{name}"))

    def difference(a, b, x, y):
        return metrics.auroc(b, y) - metrics.auroc(a, x)

    found = paired_differences(first, other, seed=2)[f"ood/{name}/msp/auroc"]
    assert found["value"] == pytest.approx(difference(*inside, *outside), abs=1e-12)
    expected = metrics.bootstrap_interval(difference, tuple(inside), tuple(outside), seed=2)
    assert found["ci95"] == pytest.approx(expected, abs=1e-10)


def test_a_model_does_not_differ_from_itself():
    for found in paired_differences(answers(1.0), answers(1.0), seed=0).values():
        assert found["value"] == 0 and found["ci95"] == [0, 0]


def test_turning_the_pair_round_turns_the_difference_round():
    first, other = answers(0.5), answers(1.5, seed=1)
    there, back = paired_differences(first, other, seed=0), paired_differences(other, first, seed=0)
    for path, found in there.items():
        low, high = found["ci95"]
        assert (back[path]["value"], back[path]["ci95"]) == (
            pytest.approx(-found["value"]),
            pytest.approx([-high, -low]),
        )


def test_only_what_both_have_of_the_same_examples_is_compared():
    first, other = answers(1.0), answers(1.0)
    del other["msp/far"]
    first["corrupted_row"] = np.arange(M) + 1
    paths = {"clean/accuracy", "clean/nll", "calibration/ece_15", "ood/near/er/msp/auroc"}
    assert paired_differences(first, other, seed=0).keys() == paths
    with pytest.raises(ValueError, match="their labels are not the same"):
        paired_differences(first, {**other, "label": first["label"][::-1]}, seed=0)


def test_over_several_trainings_the_examples_differences_are_averaged():
    """Of the same examples, a mean is that of `bootstrap_interval` of each example's mean difference."""
    trained = [(answers(0.5, seed), answers(1.5, seed + 10)) for seed in range(3)]
    found = pooled_differences(trained, seed=4)
    for path, values in (
        ("clean/nll", [other["nll"] - first["nll"] for first, other in trained]),
        (
            "corruptions/mean_accuracy",
            [other["corrupted_accuracy"] - first["corrupted_accuracy"] for first, other in trained],
        ),
    ):
        by_example = np.mean(values, 0)
        assert found[path]["value"] == pytest.approx(by_example.mean(), abs=1e-12)
        expected = metrics.bootstrap_interval(np.mean, (by_example,), seed=4)
        assert found[path]["ci95"] == pytest.approx(expected, abs=1e-10) and found[path]["n"] == len(by_example)
    detected = [
        metrics.auroc(other["confidence"], other["msp/far"]) - metrics.auroc(first["confidence"], first["msp/far"])
        for first, other in trained
    ]
    assert found["ood/far/msp/auroc"]["value"] == pytest.approx(np.mean(detected), abs=1e-12)


def test_examples_of_its_own_are_resampled_with_those_of_the_others():
    """Half of a training's corrupted examples are in the other's sample too: a bootstrap by example, spelt out."""
    trained = [(answers(0.5, seed), answers(1.5, seed + 10)) for seed in range(2)]
    rows = [np.arange(M), np.arange(M // 2, M + M // 2)[::-1]]
    for pair, of_pair in zip(trained, rows, strict=True):
        for one in pair:
            one["corrupted_row"] = of_pair
    found = pooled_differences(trained, seed=4)["corruptions/mean_accuracy"]
    by_row = [
        dict(zip(of_pair, other["corrupted_accuracy"] - first["corrupted_accuracy"], strict=True))
        for (first, other), of_pair in zip(trained, rows, strict=True)
    ]
    order = [*range(M), *range(M + M // 2 - 1, M - 1, -1)]  # as they appear first

    def mean(drawn):
        return np.mean([np.mean([one[row] for row in drawn if row in one]) for one in by_row])

    assert found["value"] == pytest.approx(mean(order), abs=1e-12) and found["n"] == len(order)
    expected = metrics.bootstrap_interval(mean, (np.array(order),), seed=4)
    assert found["ci95"] == pytest.approx(expected, abs=1e-10)


def test_pooling_takes_one_test_set():
    first, other = (answers(1.0), answers(1.0)), (answers(1.0), answers(1.0))
    other = tuple({**found, "label": found["label"][::-1]} for found in other)
    with pytest.raises(ValueError, match="their labels are not the same"):
        pooled_differences([first, other], seed=0)
    with pytest.raises(ValueError, match="one pair of predictions or more"):
        pooled_differences([], seed=0)
