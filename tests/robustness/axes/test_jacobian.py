"""The norm of the Jacobian against what is known of it, and its estimate from random directions."""

import numpy as np
import pytest
import torch
from torch import nn

from hfmix.robustness.axes.jacobian import MAX_DIRECTIONS, directions_of, jacobian_norm


def norms(model, x, first=0, scale=None):
    x = x.clone().requires_grad_()
    logits = model(x)
    return jacobian_norm(logits, x, directions_of(logits.shape[1], 0, first, len(x)), scale)


def test_of_a_linear_model_it_is_the_norm_of_the_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 7))
    weight, scale = model[1].weight.detach(), torch.tensor([1.0, 4.0, 0.5]).reshape(3, 1, 1)
    x = torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(norms(model, x), weight.norm().expand(5))
    scaled = (weight.reshape(7, 3, 2, 2) * scale).norm()
    torch.testing.assert_close(norms(model, x, scale=scale), scaled.expand(5))


@pytest.mark.parametrize("classes", [2, MAX_DIRECTIONS])
def test_of_a_net_it_is_what_torch_func_says(classes):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, classes))
    x = torch.randn(9, 6)
    jacobian = torch.func.vmap(torch.func.jacrev(model))(x)  # (9, C, 6)
    torch.testing.assert_close(norms(model, x), jacobian.flatten(1).norm(dim=1))


def test_a_model_that_does_not_look_has_none():
    model = nn.Linear(6, 4)
    nn.init.zeros_(model.weight)
    assert (norms(model, torch.randn(3, 6)) == 0).all()


@pytest.mark.parametrize("classes", [MAX_DIRECTIONS + 1, 40])
def test_the_estimate_of_the_square_is_unbiased(classes):
    """4,000 pairs, each with its own directions, of one linear model with unequal singular values.

    The mean lies within 4 standard errors of the truth, which are less than 2 % of it: an estimate that is wrong
    by a factor such as (C − 1) / C (2.5 % at C = 40), or one for each direction, is found.
    """
    torch.manual_seed(2)
    model = nn.Linear(5, classes, bias=False)
    with torch.no_grad():
        model.weight[:3] *= 4
    truth = float(model.weight.detach().square().sum())
    squares = norms(model, torch.randn(4000, 5)).double().square().numpy()
    error = squares.std(ddof=1) / np.sqrt(len(squares))
    assert 4 * error < 0.02 * truth
    assert abs(squares.mean() - truth) < 4 * error


def test_directions_are_orthonormal_and_belong_to_the_pair():
    found = directions_of(25, seed=3, first=4, count=6)
    assert found.shape == (6, MAX_DIRECTIONS, 25)
    torch.testing.assert_close(found @ found.mT, torch.eye(MAX_DIRECTIONS).expand(6, -1, -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(directions_of(25, seed=3, first=7, count=3), found[3:])
    assert not torch.allclose(found[0], found[1], atol=0.1)
    assert not torch.allclose(directions_of(25, seed=4, first=4, count=6), found, atol=0.1)
    assert torch.equal(directions_of(4, 0, 0, 2), torch.eye(4).expand(2, 4, 4))


def test_a_model_without_gradients_is_refused():
    model = nn.Linear(6, 4)

    def without(x):
        with torch.no_grad():
            return model(x)

    with pytest.raises(ValueError, match="no gradients with respect to its input"):
        norms(without, torch.randn(3, 6))
