"""mixup's discriminator loss against its formula."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hfmix
from hfmix import mixup_discriminator_loss
from hfmix.mixing import keyed_generator


def images(*key: int, size: int = 6) -> torch.Tensor:
    return torch.randn(size, 3, 4, 4, generator=keyed_generator(*key))


def discriminator() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 2), nn.Tanh(), nn.Conv2d(5, 1, 3))  # a logit of shape (B, 1, 1, 1)


def test_given_shares_give_the_formula():
    """λ·real + (1−λ)·generated and −λ log σ(z) − (1−λ) log(1−σ(z)), written out in float64."""
    d, real, generated = discriminator().double(), images(1).double(), images(2).double()
    lam = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.9, 1.0], dtype=torch.float64)
    rows = []
    for share, x, g in zip(lam, real, generated, strict=True):
        p = torch.sigmoid(d((share * x + (1 - share) * g)[None])).squeeze()
        rows.append(-(share * p.log() + (1 - share) * (1 - p).log()))
    found = mixup_discriminator_loss(d, real, generated, lam=lam)
    torch.testing.assert_close(found, torch.stack(rows).mean(), rtol=1e-12, atol=1e-12)


def test_shares_of_0_and_1_are_the_ordinary_loss():
    d, real, generated = discriminator(), images(1), images(2)
    ones, zeros = torch.ones(6), torch.zeros(6)
    as_real = mixup_discriminator_loss(d, real, generated, lam=ones)
    as_generated = mixup_discriminator_loss(d, real, generated, lam=zeros)
    torch.testing.assert_close(as_real, F.softplus(-d(real)).mean())
    torch.testing.assert_close(as_generated, F.softplus(d(generated)).mean())


def test_a_small_alpha_is_the_ordinary_loss_in_expectation():
    """Over 400 draws of 200 shares: half the sum of both losses, within 5 standard errors of the mean.

    A loss that took λ for the share of the generated examples would be off by some 100 standard errors.
    """

    def d(x):
        return x.sum(1)

    real, generated = torch.full((200, 1), 3.0), torch.full((200, 1), 1.0)
    generator = keyed_generator(5)
    found = torch.stack(
        [mixup_discriminator_loss(d, real, generated, 1e-4, generator=generator) for _ in range(400)]
    )
    expected = 0.5 * (F.softplus(torch.tensor(-3.0)) + F.softplus(torch.tensor(1.0)))
    error = float(found.std() / 20)
    assert error < 0.005
    assert abs(float(found.mean() - expected)) < 5 * error
    swapped = 0.5 * (F.softplus(torch.tensor(3.0)) + F.softplus(torch.tensor(-1.0)))
    assert abs(float(found.mean() - swapped)) > 50 * error


def test_gradients_reach_what_requires_them():
    d, real, generated = discriminator(), images(1), images(2).requires_grad_()
    lam = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    mixup_discriminator_loss(d, real, generated, lam=lam).backward()
    assert real.grad is None and all(p.grad.abs().sum() > 0 for p in d.parameters())
    by_row = generated.grad.flatten(1).norm(dim=1)
    assert (by_row[:-1] > 0).all() and by_row[-1] == 0  # the last mixture holds nothing of it
    d.zero_grad()
    mixup_discriminator_loss(d, real, generated.detach(), lam=lam).backward()
    assert torch.equal(generated.grad.flatten(1).norm(dim=1), by_row)  # nothing was added


def test_the_generator_makes_it_repeatable():
    d, real, generated = discriminator(), images(1), images(2)
    losses = [
        mixup_discriminator_loss(d, real, generated, 1.0, generator=keyed_generator(seed)) for seed in (3, 3, 4)
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(("granularity", "distinct"), [("example", 6), ("batch", 1)])
def test_a_share_for_each_example_or_for_the_batch(granularity, distinct):
    """The discriminator sees the shares themselves where the real are 1 and the generated 0."""
    seen = []

    def d(x):
        seen.append(x[:, 0])
        return x[:, 0]

    real, generated = torch.ones(6, 1), torch.zeros(6, 1)
    mixup_discriminator_loss(d, real, generated, 1.0, granularity=granularity, generator=keyed_generator(0))
    assert len(seen[0].unique()) == distinct and 0 < seen[0].min() <= seen[0].max() < 1


def test_half_precision_is_summed_in_float32():
    d, real, generated = discriminator(), images(1), images(2)
    lam = torch.linspace(0, 1, 6)
    full = mixup_discriminator_loss(d, real, generated, lam=lam)
    half = mixup_discriminator_loss(d.bfloat16(), real.bfloat16(), generated.bfloat16(), lam=lam)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.02)  # bfloat16 keeps 8 bits


def test_a_model_output_is_read():
    real, generated, lam = images(1), images(2), torch.linspace(0, 1, 6)
    d = discriminator()
    found = mixup_discriminator_loss(lambda x: {"logits": d(x).flatten(1)}, real, generated, lam=lam)
    assert found == mixup_discriminator_loss(d, real, generated, lam=lam)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"generated": images(2, size=5)}, ValueError, r"\(6, 3, 4, 4\) and generated \(5, 3, 4, 4\)"),
        ({"real": images(1, size=0), "generated": images(2, size=0)}, ValueError, "B at least 1"),
        ({"real": torch.zeros(6, 3, 4, 4, dtype=torch.uint8)}, TypeError, "real is a floating-point.*uint8"),
        ({"generated": [1.0]}, TypeError, "generated is a floating-point.*list"),
        ({"alpha": 0.0}, ValueError, "alpha is a finite number above 0, not 0.0"),
        ({"alpha": True}, ValueError, "alpha .* not True"),
        ({"granularity": "row"}, ValueError, "granularity is 'batch' or 'example', not 'row'"),
        ({"lam": torch.ones(5)}, ValueError, r"lam is a tensor \(6,\).*not \(5,\)"),
        ({"lam": 0.5}, ValueError, "lam is a tensor .* not float"),
        ({"lam": torch.full((6,), 1.5)}, ValueError, r"lam lies in \[0, 1\], not in \[1.5, 1.5\]"),
        ({"lam": torch.full((6,), torch.nan)}, ValueError, "lam lies in"),
        ({"discriminator": nn.Flatten()}, ValueError, r"one logit an example: 6 .* not \(6, 48\)"),
    ],
)
def test_bad_input_gets_one_clear_line(change, error, message):
    call = {"discriminator": discriminator(), "real": images(1), "generated": images(2)} | change
    with pytest.raises(error, match=message):
        mixup_discriminator_loss(**call)


def test_it_is_public():
    assert "mixup_discriminator_loss" in hfmix.__all__
