"""FGSM, I-FGSM and PGD: their balls exactly, their steps as torchattacks takes them, their errors in one line."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hfmix.robustness.attacks import fgsm, ifgsm, pgd

EPS = 8 / 255


class Net(nn.Module):
    """Small and smooth: a gradient's sign does not hang on rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 64, 5)
        )

    def forward(self, images):
        return self.layers(images)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net()


def batch(n=16, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    # values at the bounds, near them, and of very different sizes
    x = torch.rand(n, 3, 8, 8, generator=g, dtype=torch.float64) ** 3
    x[:, :, 0] = 0
    x[:, :, 1] = 1
    return x.to(dtype), torch.randint(5, (n,), generator=g)


def run(attack, net, x, y, eps, norm="linf", seed=0, **others):
    if attack is pgd:
        others |= {"generator": torch.Generator().manual_seed(seed), "step_size": eps / 3}
    return attack(net, x, y, eps, norm=norm, **others)


def loss(net, x, y):
    was = net.training
    net.eval()
    with torch.no_grad():
        found = F.cross_entropy(net(x), y, reduction="none")
    net.train(was)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [fgsm, ifgsm, pgd])
def test_within_the_ball_and_the_bounds_exactly(net, attack, norm, dtype):
    """In double precision without any tolerance, where the radius is reached and where it is not."""
    x, y = batch(dtype=dtype)
    net = net.to(dtype)
    for eps in (1e-5, 0.001, EPS, 0.1, 0.3, 0.5, 0.77, 1.0):
        found = run(attack, net, x, y, eps, norm)
        delta = (found.double() - x.double()).flatten(1)
        sizes = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
        assert (sizes <= eps).all(), (eps, (sizes - eps).max())
        assert (sizes >= 0.3 * eps).all() and not torch.equal(found, x)
        assert found.min() >= 0 and found.max() <= 1 and found.dtype == dtype and not found.requires_grad
        if norm == "linf":  # also as anybody would ask
            assert (found - x).abs().max().item() <= eps
    net.float()


def test_waveforms_have_bounds_of_their_own(net):
    x, y = batch()
    found = pgd(net, 2 * x - 1, y, 0.2, 0.05, bounds=(-1, 1), generator=torch.Generator().manual_seed(0))
    assert found.min() == -1 and found.max() == 1
    assert ((found.double() - (2 * x - 1).double()).abs() <= 0.2).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [fgsm, ifgsm, pgd])
def test_a_radius_of_nothing_gives_the_input(net, attack, norm):
    x, y = batch(4)
    assert torch.equal(run(attack, net, x, y, 0.0, norm), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torchattacks(net, dtype):
    torchattacks = pytest.importorskip("torchattacks")
    x, y = batch(32, dtype)
    net = net.to(dtype).eval()
    settings = {"eps": EPS, "steps": 7}
    for ours, theirs in (
        (fgsm(net, x, y, EPS), torchattacks.FGSM(net, eps=EPS)),
        (ifgsm(net, x, y, step_size=1 / 255, **settings), torchattacks.BIM(net, alpha=1 / 255, **settings)),
        (
            pgd(net, x, y, step_size=2 / 255, random_start=False, **settings),
            torchattacks.PGD(net, alpha=2 / 255, random_start=False, **settings),
        ),
        (
            pgd(net, x, y, 0.5, 0.2, 7, "l2", random_start=False),
            torchattacks.PGDL2(net, eps=0.5, alpha=0.2, steps=7, random_start=False),
        ),
    ):
        torch.testing.assert_close(ours, theirs(x, y), rtol=0, atol=1e-6)
        assert (ours - x).abs().max() > 0.02
    net.float().train()


def test_fgsm_by_its_formula(net):
    x, y = batch()
    net.eval()
    leaf = x.clone().requires_grad_()
    F.cross_entropy(net(leaf), y).backward()
    net.zero_grad()
    torch.testing.assert_close(fgsm(net, x, y), (x + EPS * leaf.grad.sign()).clamp(0, 1), rtol=0, atol=2e-7)
    torch.testing.assert_close(ifgsm(net, x, y, steps=1), fgsm(net, x, y), rtol=0, atol=0)


def test_the_loss_rises_and_more_with_more_steps(net):
    x, y = batch()
    clean = loss(net, x, y)
    losses = [
        loss(net, run(a, net, x, y, EPS, **k), y) for a, k in ((fgsm, {}), (ifgsm, {}), (pgd, {"steps": 20}))
    ]
    assert all((found > clean).all() for found in losses)
    assert losses[1].mean() >= losses[0].mean() - 1e-6


def test_restarts_keep_the_largest_loss_of_each_example(net):
    x, y = batch()
    starts = (2 * torch.rand(3, *x.shape, generator=torch.Generator().manual_seed(0)) - 1) * EPS
    each = [pgd(net, x, y, EPS, 0.002, 2, random_start=start) for start in starts]
    losses = torch.stack([loss(net, found, y) for found in each])
    best = losses.argmax(0)
    assert best.unique().numel() == 3  # or else nothing is chosen here
    together = pgd(net, x, y, EPS, 0.002, 2, random_start=starts, restarts=3)
    assert torch.equal(together, torch.stack(each)[best, torch.arange(len(x))])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_follow_the_generator(net, norm):
    x, y = batch()
    one, same, other = (run(pgd, net, x, y, EPS, norm, seed=seed, steps=1) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_each_example_is_attacked_by_itself(net):
    x, y = batch(dtype=torch.float64)
    net = net.double()
    start = (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype) - 1) * EPS
    whole = pgd(net, x, y, random_start=start)
    alone = torch.cat([pgd(net, x[i : i + 1], y[i : i + 1], random_start=start[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)
    net.float()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_masked_elements_stay(net, norm):
    x, y = batch()
    mask = torch.arange(8) < 5
    found = run(pgd, net, x, y, 0.3, norm, mask=mask)
    assert torch.equal(found[..., 5:], x[..., 5:]) and not torch.equal(found[..., :5], x[..., :5])


def test_the_model_is_left_as_it_was(net):
    x, y = batch()
    net.train()
    net.layers[1].eval()
    net.layers[0].bias.requires_grad_(False)
    net.layers[0].weight.grad = torch.ones_like(net.layers[0].weight)
    modes = [module.training for module in net.modules()]
    needed = [parameter.requires_grad for parameter in net.parameters()]
    given = x.clone()
    with torch.inference_mode():
        first = pgd(net, x, y, random_start=False)
    with torch.no_grad():
        second = pgd(net, x.requires_grad_(), y, random_start=False)
    assert torch.equal(first, second)  # evaluation mode: dropout draws nothing
    with pytest.raises(ValueError, match="label 7"):
        pgd(net, x, y * 0 + 7)
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == needed
    assert (net.layers[0].weight.grad == 1).all() and net.layers[4].weight.grad is None
    assert torch.equal(x, given) and x.grad is None
    net.layers[0].weight.grad = None
    net.layers[0].bias.requires_grad_(True)


def test_outputs_with_logits_and_plain_functions(net):
    from transformers.modeling_outputs import ImageClassifierOutput

    x, y = batch()
    net.eval()
    expected = fgsm(net, x, y)
    assert torch.equal(fgsm(lambda images: ImageClassifierOutput(logits=net(images)), x, y), expected)
    net.train()


def quantised(net):
    return torch.ao.quantization.quantize_dynamic(net.eval(), {nn.Linear}, dtype=torch.qint8)


@torch.no_grad()
def without_gradient(x):
    return x.flatten(1)[:, :5]


def not_a_number(x):
    logits = x.flatten(1)[:, :5] * 1.0
    return logits.index_fill(0, torch.tensor([3]), math.nan)


def steep(x):
    """Finite, with a gradient that is infinity times 0."""
    return x.flatten(1)[:, :5].mul(0).sqrt()


ERRORS = [
    ({"y": torch.rand(16, 5)}, TypeError, r"labels of torch.float32, shape \(16, 5\): attacks need hard labels"),
    ({"y": torch.zeros(16, 5, dtype=torch.long)}, ValueError, r"one class each, \(16,\)"),
    ({"y": torch.full((16,), 5)}, ValueError, "label 5 is not a class of the model"),
    ({"y": torch.full((16,), -100)}, ValueError, "label -100 is not a class of the model"),
    ({"model": without_gradient}, ValueError, "no gradient in the input, as with a quantised"),
    ({"model": not_a_number}, ValueError, "logits that are not finite, first for example 3"),
    ({"model": steep}, ValueError, "gradient is not a number, first for example 0"),
    ({"model": lambda x: x}, ValueError, "attacks need logits of shape"),
    ({"eps": -0.1}, ValueError, "eps=-0.1: it lies between 0 and 1"),
    ({"eps": 1.5}, ValueError, "eps=1.5"),
    ({"eps": math.nan}, ValueError, "eps=nan"),
    ({"eps": 14, "norm": "l2"}, ValueError, "eps=14: it lies between 0 and 13.8"),
    ({"norm": "l1"}, ValueError, "unknown norm 'l1': there are linf, l2"),
    ({"steps": 0}, ValueError, "steps=0"),
    ({"step_size": -1.0}, ValueError, "step_size=-1"),
    ({"restarts": 0}, ValueError, "restarts=0"),
    ({"restarts": 2, "random_start": False}, ValueError, "would all give the same"),
    ({"random_start": torch.zeros(2)}, ValueError, r"random_start has shape \(2,\)"),
    ({"x": torch.full((16, 3, 8, 8), 1.5)}, ValueError, "inputs between 1.5 and 1.5, outside the bounds 0 to 1"),
    ({"x": torch.full((16, 3, 8, 8), math.nan)}, ValueError, "outside the bounds"),
    ({"x": torch.zeros(16, 3, 8, 8, dtype=torch.uint8)}, TypeError, "inputs of torch.uint8"),
]


@pytest.mark.parametrize(("given", "error", "message"), ERRORS)
def test_bad_input_is_told_in_one_line(net, given, error, message):
    x, y = batch()
    with pytest.raises(error, match=message) as raised:
        pgd(**{"model": net, "x": x, "y": y, **given})
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")  # torch's own quantisation is on its way out
def test_a_quantised_model_is_refused(net):
    x, y = batch()
    with pytest.raises(ValueError, match="quantised"):
        fgsm(quantised(net), x, y)
    net.train()
