"""Given the same draw, the peers and hfmix return the same inputs and labels.

A peer's draw is caught where it is made and turned into a plan. kornia and torch-uncertainty are compared where
they are installed. Whether the presets also draw as the peers do is test_presets.py's question.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.data import mixup as timm_module
from timm.loss import SoftTargetCrossEntropy
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from hfmix import MixPlan, RegMixup, mixed_cross_entropy
from hfmix.mixing import cut_plan, pair_plan

N, C, SHAPE = 8, 11, (3, 9, 14)
EXTENT = SHAPE[1:]
SEEDS = range(6)


def batch(seed: int, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=generator), torch.randint(C, (n,), generator=generator)


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=1e-6, atol=1e-6)


# ---- timm

TIMM = [
    {"mixup_alpha": 0.4},
    {"mixup_alpha": 0.0, "cutmix_alpha": 1.0},
    {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "correct_lam": False},
    {"mixup_alpha": 0.0, "cutmix_minmax": (0.2, 0.8)},
    {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 0.7, "switch_prob": 0.5},
    {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "correct_lam": False},
]
MODES = ["batch", "elem", "pair"]


class CaughtTimm:
    """What a timm mixer draws while it works, as a plan."""

    def __init__(self, mixer: timm_module.Mixup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mixer, self.params, self.cuts = mixer, None, []
        cut = timm_module.cutmix_bbox_and_lam

        def caught_cut(*args, **settings):
            self.cuts.append(cut(*args, **settings))
            return self.cuts[-1]

        monkeypatch.setattr(timm_module, "cutmix_bbox_and_lam", caught_cut)
        for name in ("_params_per_batch", "_params_per_elem"):
            monkeypatch.setattr(mixer, name, self._catching(getattr(mixer, name)))

    def _catching(self, draw):
        def caught(*args):
            lam, use_cutmix = draw(*args)
            self.params = np.array(lam, ndmin=1, dtype=np.float64), np.array(use_cutmix, ndmin=1)
            return lam, use_cutmix

        return caught

    def plan(self, n: int = N) -> MixPlan:
        lam, cut = self.params
        box, cuts = np.zeros((len(lam), 4), dtype=np.int64), iter(self.cuts)
        for i in np.flatnonzero(cut & (lam != 1.0)):
            (y0, y1, x0, x1), lam[i] = next(cuts)
            box[i] = y0, x0, y1, x1
        of_row = {
            1: np.zeros(n, dtype=np.int64),
            n: np.arange(n),
            n // 2: np.minimum(np.arange(n), n - 1 - np.arange(n)),
        }
        row_draw = of_row[len(lam)]
        partner, lam, cut = np.arange(n)[::-1].copy(), lam[row_draw], torch.from_numpy(cut[row_draw, None])
        mixed = pair_plan(lam, partner)
        boxes = cut_plan(box[row_draw], partner, EXTENT, label_lam=lam)
        return replace(boxes, weight=torch.where(cut, boxes.weight, mixed.weight))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", TIMM)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_timm(mode, settings, smoothing, monkeypatch):
    for seed in SEEDS:
        with monkeypatch.context() as patch:
            mixer = timm_module.Mixup(**settings, mode=mode, label_smoothing=smoothing, num_classes=C)
            caught = CaughtTimm(mixer, patch)
            np.random.seed(seed)
            x, labels = batch(seed)
            theirs, their_labels = mixer(x.clone(), labels)
        plan = caught.plan()
        assert_same(plan.apply(x), theirs)
        dense = plan.targets(labels).dense(C)
        assert_same(dense * (1 - smoothing) + smoothing / C, their_labels)
        logits = torch.randn(N, C, generator=torch.Generator().manual_seed(seed))
        ours = mixed_cross_entropy(logits, plan.targets(labels), label_smoothing=smoothing)
        assert_same(ours, SoftTargetCrossEntropy()(logits, their_labels))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", TIMM)
def test_timm_fast_collate(mode, settings, monkeypatch):
    """uint8, rounded by both; a level apart at most where float32 arithmetic lands on a half."""
    for seed in SEEDS:
        mixer = timm_module.FastCollateMixup(**settings, mode=mode, label_smoothing=0.0, num_classes=C)
        with monkeypatch.context() as patch:
            caught = CaughtTimm(mixer, patch)
            np.random.seed(seed)
            x, labels = (batch(seed)[0] * 255).byte(), batch(seed)[1]
            theirs, their_labels = mixer([(row.clone(), label) for row, label in zip(x, labels, strict=True)])
        plan = caught.plan()
        apart = (plan.apply(x).int() - theirs.int()).abs()
        assert apart.max() <= 1 and (apart > 0).float().mean() < 1e-3
        assert_same(plan.targets(labels).dense(C), their_labels)


def test_timm_multi_label(monkeypatch):
    mixer = timm_module.Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=C, multi_label=True)
    caught = CaughtTimm(mixer, monkeypatch)
    np.random.seed(0)
    labels = torch.rand(N, C, generator=torch.Generator().manual_seed(0)) > 0.5
    _, theirs = mixer(batch(0)[0], labels.long())
    for kind in (labels, labels.long(), labels.float()):
        assert_same(caught.plan().targets(kind).dense(C), theirs)


# ---- torchvision


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("n", [1, 7, 8])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("peer", [v2.MixUp, v2.CutMix])
def test_torchvision(peer, alpha, n, soft, monkeypatch):
    mixer, drawn = peer(alpha=alpha, num_classes=C), []
    make = mixer.make_params
    monkeypatch.setattr(mixer, "make_params", lambda inputs: drawn.append(make(inputs)) or drawn[-1])
    for seed in SEEDS:
        torch.manual_seed(seed)
        x, labels = batch(seed, n)
        labels = torch.rand(n, C).softmax(1) if soft else labels
        theirs, their_labels = mixer(x, labels)
        partner = np.roll(np.arange(n), 1)
        if peer is v2.MixUp:
            plan = pair_plan(np.full(n, drawn[-1]["lam"]), partner)
        else:
            x0, y0, x1, y1 = drawn[-1]["box"]
            plan = cut_plan(np.tile([y0, x0, y1, x1], (n, 1)), partner, EXTENT)
            if n > 1:
                assert plan.label_weight[0, 0].item() == pytest.approx(drawn[-1]["lam_adjusted"], abs=1e-7)
        assert_same(plan.apply(x), theirs)
        assert_same(plan.targets(labels).dense(C), their_labels)


def test_torchvision_video(monkeypatch):
    mixer, drawn = v2.CutMix(num_classes=C), []
    make = mixer.make_params
    monkeypatch.setattr(mixer, "make_params", lambda inputs: drawn.append(make(inputs)) or drawn[-1])
    torch.manual_seed(0)
    x, labels = torch.rand(5, 2, *SHAPE), torch.arange(5)
    theirs, _ = mixer(tv_tensors.Video(x), labels)
    x0, y0, x1, y1 = drawn[-1]["box"]
    plan = cut_plan(np.tile([y0, x0, y1, x1], (5, 1)), np.roll(np.arange(5), 1), EXTENT)
    assert torch.equal(plan.apply(x), theirs.as_subclass(torch.Tensor))


# ---- kornia


def kornia_dense(labels: torch.Tensor, own_share: torch.Tensor) -> torch.Tensor:
    first, second = (F.one_hot(labels[:, i].long(), C) for i in range(2))
    return own_share[:, None] * first + (1 - own_share)[:, None] * second


def test_kornia_mixup():
    """kornia's λ is the partner's share."""
    augmentation = pytest.importorskip("kornia.augmentation")
    mixer = augmentation.RandomMixUpV2(data_keys=["input", "class"])
    for seed in SEEDS:
        torch.manual_seed(seed)
        x, labels = batch(seed)
        theirs, their_labels = mixer(x, labels)
        drawn = mixer._params
        plan = pair_plan(1.0 - drawn["mixup_lambdas"].double().numpy(), drawn["mixup_pairs"].numpy())
        assert_same(plan.apply(x), theirs)
        assert_same(plan.targets(labels).dense(C), kornia_dense(their_labels, 1 - their_labels[:, 2]))


def test_kornia_cutmix():
    """With `use_correct_lambda` kornia's λ is the row's own share; its default gives the partner's."""
    augmentation = pytest.importorskip("kornia.augmentation")
    mixer = augmentation.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    for seed in SEEDS:
        torch.manual_seed(seed)
        x, labels = batch(seed)
        theirs, their_labels = mixer(x, labels)
        corners, pairs = mixer._params["crop_src"][0], mixer._params["mix_pairs"][0].numpy()
        # corners are x, y of the first and the last pixel
        box = torch.cat([corners[:, 0].flip(1), corners[:, 2].flip(1) + 1], dim=1).long().numpy()
        plan = cut_plan(box, pairs, EXTENT)
        assert_same(plan.apply(x), theirs)
        assert_same(plan.targets(labels).dense(C), kornia_dense(their_labels[0], their_labels[0, :, 2]))


# ---- torch-uncertainty


def uncertainty_draw(peer: str, seed: int, **settings) -> tuple:
    """What a mixer of torch-uncertainty drew and gave."""
    module = pytest.importorskip("torch_uncertainty.transforms.mixup", reason="torch-uncertainty or what it needs")
    mixer, drawn = getattr(module, peer)(num_classes=C, **settings), []
    get = mixer._get_params
    mixer._get_params = lambda *args: drawn.append(get(*args)) or drawn[-1]
    torch.manual_seed(seed)
    mixed = mixer(*batch(seed))
    lam, partner = drawn[-1]
    return lam.double().expand(N).numpy(), partner.numpy(), *mixed


@pytest.mark.parametrize("isobatch", [True, False])
@pytest.mark.parametrize("peer", ["Mixup", "MixupIO", "RegMixup"])
def test_torch_uncertainty(peer, isobatch):
    for seed in SEEDS:
        lam, partner, theirs, their_labels = uncertainty_draw(peer, seed, alpha=0.7, isobatch=isobatch)
        x, labels = batch(seed)
        plan = pair_plan(lam, partner, label_lam=(lam > 0.5).astype(float) if peer == "MixupIO" else None)
        if peer == "RegMixup":
            plan = with_clean_rows(plan)
        assert_same(plan.apply(x), theirs)
        assert_same(plan.targets(labels).dense(C), their_labels)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0])
def test_torch_uncertainty_mixupmp_is_regmixup_with_a_ratio(ratio):
    """Its mean over (1 + r) N rows weighs each row as RegMixup with `ratio` and η = r does."""
    _, _, theirs, their_labels = uncertainty_draw("MixupMP", 0, alpha=0.7, mixup_ratio=ratio)
    plan = RegMixup(0.7, ratio=ratio, eta=ratio).sample(N)
    assert plan.num_rows == len(theirs) == len(their_labels)
    torch.testing.assert_close(plan.row_weight / N, torch.full((len(theirs),), 1 / len(theirs)))


# ---- the papers' code, its arithmetic written out


def with_clean_rows(mixed: MixPlan) -> MixPlan:
    """RegMixup's plan of a draw made elsewhere."""
    clean = pair_plan(np.ones(N), np.arange(N))
    both = {
        name: torch.cat([getattr(clean, name), getattr(mixed, name)])
        for name in ("source", "weight", "label_weight")
    }
    return replace(mixed, **both, row_weight=torch.full((2 * N,), 0.5))


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3),
        torch.nn.BatchNorm2d(5),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(C),
    )


def value_and_gradients(net: torch.nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return [loss, *torch.autograd.grad(loss, list(net.parameters()))]


@pytest.mark.parametrize("method", ["mixup", "regmixup", "cutmix"])
def test_official_code(method):
    net = network()
    net(batch(0)[0])
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        (x, labels), perm, lam = batch(seed), rng.permutation(N), rng.beta(1, 1)
        if method == "cutmix":
            plan, inputs, lam = official_cut(x, perm, lam, rng)
        else:
            plan, inputs = pair_plan(np.full(N, lam), perm), lam * x + (1 - lam) * x[perm]
        first, second = labels, labels[perm]
        if method == "regmixup":
            plan, inputs = with_clean_rows(plan), torch.cat([x, inputs])
            first, second = torch.cat([labels, first]), torch.cat([labels, second])
        logits = net(inputs)
        theirs = lam * F.cross_entropy(logits, first) + (1 - lam) * F.cross_entropy(logits, second)
        ours = mixed_cross_entropy(net(plan.apply(x)), plan.targets(labels))
        pairs = zip(value_and_gradients(net, ours), value_and_gradients(net, theirs), strict=True)
        for actual, expected in pairs:
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def official_cut(x: torch.Tensor, perm: np.ndarray, lam: float, rng: np.random.Generator) -> tuple:
    """The plan, the inputs and the corrected λ of the CutMix paper's code."""
    height, width = EXTENT
    (y, x0), (h, w) = (
        (rng.integers(size) for size in EXTENT),
        (int(size * np.sqrt(1 - lam)) // 2 for size in EXTENT),
    )
    top, bottom = np.clip([y - h, y + h], 0, height)
    left, right = np.clip([x0 - w, x0 + w], 0, width)
    inputs = x.clone()
    inputs[:, :, top:bottom, left:right] = x[perm, :, top:bottom, left:right]
    plan = cut_plan(np.tile([top, left, bottom, right], (N, 1)), perm, EXTENT)
    return plan, inputs, 1 - (bottom - top) * (right - left) / (height * width)
