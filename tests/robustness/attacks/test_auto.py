"""Standard AutoAttack, against the library that its parts come from."""

import logging

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import ImageClassifierOutput

from hfmix.robustness.attacks import auto
from hfmix.robustness.attacks.auto import (
    autoattack,
    describe,
    forward_passes,
    is_standard,
    robust_under_autoattack,
)

pytest.importorskip("pyautoattack")
# where some examples of the net below fall, and some do not
EPS = {"linf": 16 / 255, "l2": 0.6}


def trained(num_classes: int, n: int = 16) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A smooth net that knows its classes, and `n` examples; some lie near another class."""
    with torch.random.fork_rng():
        torch.manual_seed(num_classes)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.Softplus(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.Softplus(),
            nn.Flatten(),
            nn.Linear(32, num_classes),
        )
        prototypes = 0.5 + 0.16 * torch.randn(num_classes, 3, 8, 8)
        y = torch.arange(256) % num_classes
        x = (prototypes[y] + 0.16 * torch.randn(256, 3, 8, 8)).clamp(0, 1)
        optimizer = torch.optim.Adam(net.parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        net.zero_grad()
    return net.train(), x[:n], y[:n]


@pytest.fixture
def quick(monkeypatch):
    """Smaller budgets, for what does not depend on them."""
    monkeypatch.setattr(auto, "ITERATIONS", 12)
    monkeypatch.setattr(auto, "QUERIES", 20)


def norms(delta: torch.Tensor, norm: str) -> torch.Tensor:
    return delta.flatten(1).norm(dim=1, p=float("inf") if norm == "linf" else 2)


def radius(norm: str, num_classes: int) -> float:
    """More classes lie nearer to each other."""
    return EPS[norm] if num_classes <= 4 else EPS[norm] / 2


def library(net, norm: str, num_classes: int):
    """The library's own standard version, with as many targets as there are."""
    from pyautoattack import AutoAttack

    theirs = AutoAttack(
        net, eps=radius(norm, num_classes), norm={"linf": "Linf", "l2": "L2"}[norm], seed=3, version="standard"
    )
    theirs.apgd_targeted.n_target_classes = theirs.fab.n_target_classes = min(9, num_classes - 1)
    theirs.logger.setLevel(logging.ERROR)
    return theirs


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [4, 12])
def test_every_setting_is_the_librarys(classes, norm):
    """All that the library's standard version sets, in each of its four parts."""
    theirs = library(nn.Identity(), norm, classes)
    theirs.fab.targeted = True  # what its run sets before FAB-T
    ours = [attack.__self__ for attack in auto._attacks(nn.Identity(), classes, norm, radius(norm, classes), 3)]
    given = {"device", "logger", "model", "predict"}  # by us, of another name there
    for mine, part in zip(ours, (theirs.apgd, theirs.apgd_targeted, theirs.fab, theirs.square), strict=True):
        assert type(mine) is type(part)
        found, expected = ({k: v for k, v in vars(a).items() if k not in given} for a in (mine, part))
        assert found == expected


@pytest.mark.parametrize(
    ("classes", "norm", "budget"),
    [
        (4, "linf", (10, 50)),
        *(pytest.param(c, n, (100, 5000), marks=pytest.mark.slow) for c in (4, 12) for n in ("linf", "l2")),
    ],
)
def test_is_the_librarys_standard_run(classes, norm, budget, monkeypatch):
    """The same adversarial inputs to the last bit, in batches of ten survivors."""
    monkeypatch.setattr(auto, "ITERATIONS", budget[0])
    monkeypatch.setattr(auto, "QUERIES", budget[1])
    net, x, y = trained(classes)
    theirs = library(net.eval(), norm, classes)
    parts = theirs.apgd, theirs.apgd_targeted, theirs.fab, theirs.square
    for attack, part in zip(auto._attacks(net, classes, norm, radius(norm, classes), 3), parts, strict=True):
        for name in {"n_iter", "n_iter_2", "n_iter_min", "size_decr", "n_queries"} & set(vars(part)):
            setattr(part, name, getattr(attack.__self__, name))  # in full what it is already
    with torch.random.fork_rng():
        adversarial, predicted = theirs.run_standard_evaluation(x, y, batch_size=10)
    ours, robust = auto._attacked(net, x, y, radius(norm, classes), norm, 3, (0.0, 1.0), 10)
    assert torch.equal(ours, adversarial)
    assert torch.equal(robust, predicted == y)
    assert robust.any() and not robust.all()  # all four had something to do


@pytest.mark.parametrize(("classes", "norm"), [(2, "linf"), (3, "l2"), (4, "linf"), (4, "l2")])
def test_invariants(classes, norm, quick):
    """In the ball, in range, broken where it says so, and stronger than PGD-10 with the same radius."""
    net, x, y = trained(classes)
    adversarial = autoattack(net, x, y, EPS[norm], norm)
    robust = robust_under_autoattack(net, x, y, EPS[norm], norm)
    assert not adversarial.requires_grad and not robust.requires_grad
    with torch.no_grad():
        clean = net(x).argmax(1) == y
        stays = net(adversarial).argmax(1) == y
    assert torch.equal(stays, robust)
    assert norms(adversarial - x, norm).max() <= EPS[norm] * (1 + 1e-5)  # float32 rounds the ball's edge
    assert adversarial.min() >= 0 and adversarial.max() <= 1
    untouched = (adversarial == x).flatten(1).all(1)
    assert torch.equal(untouched, robust | ~clean)
    assert int(robust.sum()) <= int(robust_under_pgd(net, x, y, EPS[norm], norm).sum())
    assert 0 < int(robust.sum()) < int(clean.sum())


def robust_under_pgd(net, x, y, eps, norm):
    """Ten steps from the clean input."""
    adversarial = x.clone()
    for _ in range(10):
        adversarial.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(adversarial), y), adversarial)
        if norm == "linf":
            delta = (adversarial.detach() + eps / 4 * gradient.sign() - x).clamp(-eps, eps)
        else:
            length = norms(gradient, norm)[:, None, None, None]
            delta = adversarial.detach() + eps / 4 * gradient / length - x
            delta *= (eps / norms(delta, norm)).clamp(max=1)[:, None, None, None]
        adversarial = (x + delta).clamp(0, 1)
    with torch.no_grad():
        return net(adversarial).argmax(1) == y


def test_targeted_cross_entropy_stands_in_for_dlr(quick):
    """With three classes it finds what the untargeted one misses; the labels' own class is never a target."""
    net, x, y = trained(3, n=32)
    untargeted, targeted = auto._attacks(net.eval(), 3, "linf", EPS["linf"], 0)[:2]
    with torch.random.fork_rng():
        found = [attack(x, y) for attack in (untargeted, targeted)]
    with torch.no_grad():
        missed, broken = (
            (net(candidate).argmax(1) == y) == right for candidate, right in zip(found, (True, False), strict=True)
        )
    assert (missed & broken).any()
    assert not is_standard(3) and not describe(3)["standard"] and is_standard(4)


def test_everything_is_put_back(quick):
    """The net's modes, what asks for gradients, the gradients, and torch's random state."""
    net, x, y = trained(4)
    net[0].eval()
    net[2].requires_grad_(False)
    before, state = [p.clone() for p in net.parameters()], torch.get_rng_state()
    first = autoattack(net, x, y)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    assert torch.equal(autoattack(net, x, y), first)
    assert [m.training for m in net] == [False, True, True, True, True, True]
    assert [p.requires_grad for p in net.parameters()] == [True, True, False, False, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def test_another_range_is_the_same_attack(quick):
    """Input in [−1, 1] with twice the radius; 0.5 · (2x − 1) + 0.5 rounds, so that flags compare."""
    net, x, y = trained(4)
    inner = net.eval()

    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = inner

        def forward(self, values: torch.Tensor) -> ImageClassifierOutput:
            return ImageClassifierOutput(logits=self.net(0.5 * values + 0.5))

    wide = autoattack(Output(), 2 * x - 1, y, 2 * EPS["linf"], bounds=(-1.0, 1.0))
    assert norms(wide - (2 * x - 1), "linf").max() <= 2 * EPS["linf"] * (1 + 1e-5)
    flags = robust_under_autoattack(Output(), 2 * x - 1, y, 2 * EPS["linf"], bounds=(-1.0, 1.0))
    assert (flags == robust_under_autoattack(net, x, y, EPS["linf"])).float().mean() >= 15 / 16


def test_nothing_to_break(quick):
    """Radius 0, all wrong from the start, and a batch of one."""
    net, x, y = trained(4)
    assert torch.equal(autoattack(net, x, y, eps=0), x)
    with torch.no_grad():
        predicted = net(x).argmax(1)
    assert torch.equal(robust_under_autoattack(net, x, y, eps=0), predicted == y)
    wrong = (predicted + 1) % 4
    assert torch.equal(autoattack(net, x, wrong), x)
    assert not robust_under_autoattack(net, x, wrong).any()
    alone = autoattack(net, x[:1], y[:1], eps=0.5)
    with torch.no_grad():
        assert net(alone).argmax(1) != y[:1]


@pytest.mark.parametrize("classes", [2, 4, 12])
def test_the_cost_is_what_a_survivor_costs(classes, quick):
    """Counted at a radius so small that nothing falls; a look at its gradients and classes comes on top."""
    net, x, y = trained(classes)
    with torch.no_grad():
        x, y = x[:3], net(x[:3]).argmax(1)
    forward, backward = [], []
    net[0].register_forward_hook(lambda *_: forward.append(1))
    net[-1].register_full_backward_hook(lambda *_: backward.append(1))
    assert robust_under_autoattack(net, x, y, eps=1e-7).all()
    assert len(forward) + 2 * len(backward) == 4 + forward_passes(classes)


def test_the_budgets_are_the_standard_ones():
    """AutoAttack's paper, section 5, and RobustBench's leaderboards."""
    found = describe(10, "linf")
    assert found["standard"] and "why_not_standard" not in found
    assert [part["name"] for part in found["components"]] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    ce, targeted, fab, square = found["components"]
    assert (ce["iterations"], ce["restarts"], ce["rho"]) == (100, 1, 0.75)
    assert (targeted["iterations"], targeted["targets"], targeted["loss"]) == (100, 9, "targeted DLR")
    assert (fab["iterations"], fab["targets"]) == (100, 9)
    assert square["queries"] == 5000
    assert found["library"].startswith("pyautoattack 0.")
    assert describe(1000)["components"][1]["targets"] == 9 and describe(5)["components"][1]["targets"] == 4
    few = describe(3, "l2")
    assert few["components"][1]["loss"] == "targeted cross-entropy" and "there are 3" in few["why_not_standard"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "l1"}, "unknown norm 'l1'"),
        ({"eps": -0.1}, "eps=-0.1"),
        ({"eps": 1.5}, "eps=1.5"),
        ({"eps": float("nan"), "norm": "l2"}, "eps=nan"),
        ({"y": torch.full((16, 4), 0.25)}, "hard labels"),
        ({"y": torch.full((16,), 4)}, "label 4 is not a class of the model"),
        ({"y": torch.tensor([-1] + 15 * [0])}, "label -1 is not a class of the model"),
        ({"y": torch.zeros(3, dtype=torch.long)}, r"labels of shape \(3,\) for 16 inputs"),
        ({"x": torch.full((16, 3, 8, 8), 1.5)}, "outside the bounds 0 to 1"),
        ({"x": torch.rand(16, 300)}, "AutoAttack takes images"),
        ({"x": torch.rand(16, 3, 8, 4), "norm": "l2"}, "images of 8 × 4: Square within an L2 ball"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(192, 1))}, r"the model gives \(2, 1\)"),
    ],
)
def test_bad_input_is_one_line(change, message):
    net, x, y = trained(4)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        autoattack(**{"model": net, "x": x, "y": y, **change})
    assert "\n" not in str(caught.value)


def test_one_class_has_no_description():
    with pytest.raises(ValueError, match="a model with 1 class cannot be attacked"):
        describe(1)


def test_works_where_gradients_are_off(quick):
    """An evaluation's inference mode is left for the attack."""
    net, x, y = trained(4)
    expected = autoattack(net, x, y, EPS["linf"])
    with torch.inference_mode():
        assert torch.equal(autoattack(net, x.clone(), y.clone(), EPS["linf"]), expected)


def test_a_model_without_gradient_is_refused():
    class Exported(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return 2 * x.flatten(1)[:, :4]

    _, x, y = trained(4)
    with pytest.raises(ValueError, match="logits have no gradient"):
        autoattack(Exported(), x, y)
