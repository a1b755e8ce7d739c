"""The fitted temperature against a grid, and against temperatures that are known."""

import warnings

import numpy as np
import pytest
import torch
from predictions import softmax_and_labels

from hfmix.metrics import fit_temperature, negative_log_likelihood


def drawn_from(temperature, n=20_000, c=10, seed=0):
    """Logits and labels of a model that `temperature` would calibrate."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, c)) * 4
    probs = torch.from_numpy(logits / temperature).softmax(1).numpy()
    return logits, (probs.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=c - 1)


@pytest.mark.parametrize("seed", range(3))
def test_no_temperature_of_a_fine_grid_is_better(seed):
    logits, _, labels = softmax_and_labels(400, seed=seed)
    fitted = fit_temperature(logits, labels)
    grid = np.linspace(0.98, 1.02, 401) * fitted
    nll = [negative_log_likelihood(logits / temperature, labels) for temperature in grid]
    assert np.argmin(nll) == 200
    coarse = np.geomspace(0.05, 20, 200)
    assert min(negative_log_likelihood(logits / t, labels) for t in coarse) >= nll[200]


@pytest.mark.parametrize("known", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(known):
    """Four standard errors by Fisher's information of 1/T: a false alarm in 16,000; 6 % off is noticed."""
    logits, labels = drawn_from(known)
    z = torch.from_numpy(logits)
    p = (z / known).softmax(1)
    information = ((p * z**2).sum(1) - (p * z).sum(1) ** 2).sum().item()
    error = known**2 / np.sqrt(information)
    assert 4 * error < 0.06 * known
    assert abs(fit_temperature(logits, labels) - known) < 4 * error


def test_the_fit_follows_the_scale_and_ignores_shifts():
    logits, _, labels = softmax_and_labels()
    fitted = fit_temperature(logits, labels)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fitted, rel=1e-8)
    assert fit_temperature(logits.log_softmax(1).numpy(), labels.numpy()) == pytest.approx(fitted, rel=1e-8)
    assert fit_temperature(logits + 1000, labels) == pytest.approx(fitted, rel=1e-8)
    assert fit_temperature(logits, labels) == fitted


@pytest.mark.parametrize("scale", [0.06, 1, 15])
def test_a_far_start_converges(scale):
    """The optimum near either bound, to which a plain Newton's step from T = 1 may overshoot."""
    logits, labels = drawn_from(1.0, n=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_temperature(scale * logits, labels)
    assert fitted == pytest.approx(scale * fit_temperature(logits, labels), rel=1e-7)


def test_a_set_without_an_optimum_gives_the_bound_and_says_so():
    logits, _, _ = softmax_and_labels()
    with pytest.warns(UserWarning, match=r"0\.05 is taken.*always the largest logit"):
        assert fit_temperature(logits, logits.argmax(1)) == 0.05
    with pytest.warns(UserWarning, match="20 is taken.*tell nothing"):
        assert fit_temperature(logits, logits.argmin(1)) == 20
    with pytest.warns(UserWarning, match="20 is taken.*tell nothing"):
        assert fit_temperature(logits * 0, logits.argmin(1)) == 20
    with pytest.warns(UserWarning, match="0.5 is taken"):
        assert fit_temperature(logits, logits.argmax(1), bounds=(0.5, 2)) == 0.5


def test_bad_input_is_named():
    logits, probs, labels = softmax_and_labels(4)
    with pytest.raises(ValueError, match="look like probabilities"):
        fit_temperature(probs, labels)
    with pytest.raises(ValueError, match="positive and rising"):
        fit_temperature(logits, labels, bounds=(2, 1))
