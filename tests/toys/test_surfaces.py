"""Decision surfaces of the methods in the plane, as the papers describe them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hfmix import RegMixup
from hfmix.mixing import keyed_generator
from hfmix.toys.nets import perceptron
from hfmix.toys.surfaces import DATA, LIMIT, Settings, draw_data, predictive_entropy, surface, surfaces

QUICK = Settings(steps=150, hidden=32)


@pytest.fixture(scope="module")
def quick():
    return surfaces(QUICK, 0)


def test_the_same_seed_gives_the_same_surface(quick):
    x, _, again = surfaces(QUICK, 0)
    assert torch.equal(x, quick[0])
    for name, found in quick[2].items():
        assert np.array_equal(found.p, again[name].p) and found.figures == again[name].figures
    assert not torch.equal(x, draw_data(QUICK, 1)[0])


def test_mixup_is_smoother_and_regmixup_lies_between(quick):
    """A fifth of the default's steps already: the order that `test_over_seeds` finds for every seed."""
    erm, mixup, regmixup = (found.figures for found in quick[2].values())
    assert mixup["slope_mean"] < erm["slope_mean"]
    assert erm["entropy_data"] < regmixup["entropy_data"] < mixup["entropy_data"]


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_over_seeds(data):
    """Each order holds for each of 5 seeds: without an effect, that of two has a chance of 1 in 32 and that of
    three 1 in 6^5 = 7776 to hold by luck."""
    for seed in range(5):
        _, _, found = surfaces(Settings(data=data), seed)
        erm, mixup, regmixup = (surface.figures for surface in found.values())
        assert mixup["slope_mean"] < erm["slope_mean"] and mixup["slope_max"] < erm["slope_max"]
        assert erm["entropy_data"] < regmixup["entropy_data"] < mixup["entropy_data"]


class Linear(nn.Module):
    """p(y = 1 | x) = σ(a · x₁), known everywhere."""

    def forward(self, x):
        return torch.stack([torch.zeros(len(x)), 2.0 * x[:, 0]], 1)


def test_a_known_net_has_known_figures():
    """Two points at x₁ = ±1: the gap between them has p = ½ and the steepest slope, a/4."""
    x, y = torch.tensor([[-0.7, 0.0], [0.7, 0.0]]), torch.tensor([0, 1])
    found = surface(Linear(), x, y)
    axis = np.linspace(-LIMIT, LIMIT, len(found.p))
    expected = 1 / (1 + np.exp(-2 * axis))
    np.testing.assert_allclose(found.p, np.broadcast_to(expected, found.p.shape), atol=1e-6)  # columns are x₁
    assert found.figures["accuracy"] == 1
    assert found.figures["slope_max"] == pytest.approx(0.5, rel=1e-2)  # differences over 0.05
    trapezium = (expected[-1] - expected[0]) / (2 * LIMIT)  # the mean slope of a curve is its rise
    assert found.figures["slope_mean"] == pytest.approx(trapezium, rel=2e-2)
    assert found.figures["entropy_gap"] == pytest.approx(1, abs=0.01)  # within 0.1 of the middle line
    p = 1 / (1 + np.exp(-1.4))
    assert found.figures["entropy_data"] == pytest.approx(-p * np.log2(p) - (1 - p) * np.log2(1 - p), rel=1e-5)
    assert found.figures["entropy_far"] < found.figures["entropy_gap"]


def test_entropy_in_bits():
    logits = torch.tensor([[0.0, 0.0], [0.0, 200.0], [0.0, float(np.log(3))]])
    found = predictive_entropy(logits)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.8112781]))  # H(¼) = 2 − ¾ log₂ 3


@pytest.mark.parametrize("data", DATA)
def test_data_are_standardised_and_both_classes_are_there(data):
    x, y = draw_data(Settings(data=data), 0)
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(2))
    assert y.bincount().tolist() == [150, 150]


def test_methods_are_the_packages_own():
    settings = replace(QUICK, alpha=0.3, regmixup_alpha=7.0)
    assert settings.policies()["mixup"].alpha == 0.3
    assert settings.policies()["RegMixup"] == RegMixup(7.0)


def test_weights_are_drawn_as_torch_draws_them():
    """Uniform within ±1/√inputs: the largest of 64 · 50 draws comes close to the bound (by chance not: e^-32)."""
    weight = perceptron((50, 64, 2), keyed_generator(0))[0].weight
    bound = 50**-0.5
    assert 0.99 * bound < float(weight.detach().abs().max()) <= bound


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(data="spirals"), "data is one of moons, circles, blobs, not 'spirals'"),
        (Settings(examples=3), "examples is at least 4, not 3"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        draw_data(settings, 0)
