"""The presets draw the distributions that their peers draw, at the peers' rates."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from timm.data import mixup as timm_module
from torchvision.transforms import v2

from hfmix import CutMix, Mixup, OneOf, RegMixup
from hfmix.mixing import (
    keyed_generator,
    official_cutmix,
    official_mixup,
    official_regmixup,
    policy_from_dict,
    timm_mixup,
    torchvision_cutmix,
    torchvision_mixup,
)

MODES = ["batch", "elem", "pair"]
TORCHVISION, IMAGE = v2.CutMix(num_classes=2), torch.empty(1, 1, 224, 224)
DRAWS = 3000


def draws(policy, n=2, shape=(3, 224, 224), count=DRAWS):
    generator = keyed_generator(11)
    return [policy.sample(n, shape, generator) for _ in range(count)]


def same_distribution(ours, theirs) -> None:
    """Kolmogorov and Smirnov's test at 1e-3: 3,000 draws of each tell CDFs .1 apart with a power above .99."""
    assert ks_2samp(ours, theirs).pvalue > 1e-3


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (timm_mixup(0.4), lambda: timm_module.Mixup(0.4)._params_per_batch()[0]),
        (torchvision_mixup(0.4), lambda: v2.MixUp(alpha=0.4, num_classes=2).make_params([])["lam"]),
        (official_mixup(0.4), lambda: np.random.beta(0.4, 0.4)),
        (official_regmixup(), lambda: np.random.beta(20, 20)),
    ],
    ids=["timm", "torchvision", "official", "regmixup"],
)
def test_lambda_is_drawn_as_by(ours, theirs):
    np.random.seed(5)
    torch.manual_seed(5)
    same_distribution([plan.weight[-1, 0].item() for plan in draws(ours)], [theirs() for _ in range(DRAWS)])


def timm_area(**settings) -> float:
    (y0, y1, x0, x1), _ = timm_module.cutmix_bbox_and_lam((3, 224, 224), np.random.beta(1, 1), **settings)
    return (y1 - y0) * (x1 - x0) / 224**2


def torchvision_area() -> float:
    return 1 - TORCHVISION.make_params([IMAGE])["lam_adjusted"]


def official_area() -> float:
    half = int(224 * np.sqrt(1 - np.random.beta(1, 1))) // 2
    y, x = ((np.random.randint(224) + np.array([half, -half])).clip(0, 224) for _ in range(2))
    return (y[0] - y[1]) * (x[0] - x[1]) / 224**2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (timm_mixup(0, 1), timm_area),
        (timm_mixup(0, cutmix_minmax=(0.3, 0.8)), lambda: timm_area(ratio_minmax=(0.3, 0.8))),
        (torchvision_cutmix(), torchvision_area),
        (official_cutmix(), official_area),
    ],
    ids=["timm", "timm minmax", "torchvision", "official"],
)
def test_boxes_are_drawn_as_by(ours, theirs):
    """At 224 pixels, where it hardly matters how a peer rounds."""
    np.random.seed(6)
    torch.manual_seed(6)
    areas = [plan.weight[plan.box.any(1), 1] for plan in draws(ours, n=8)]
    same_distribution([area[0].item() for area in areas if len(area)], [theirs() for _ in range(DRAWS)])


@pytest.mark.parametrize("mode", MODES)
def test_timm_mixes_and_cuts_at_its_rates(mode):
    """4,000 draws, 4 standard deviations: a rate that is off by .05 is seen with a power above .9."""
    n, count = {"batch": (2, 4000), "elem": (100, 40), "pair": (100, 80)}[mode]
    first = {"batch": 1, "elem": n, "pair": n // 2}[mode]
    plans = draws(timm_mixup(0.8, 1.0, prob=0.6, switch_prob=0.3, mode=mode), n=n, count=count)
    mixed = torch.cat([plan.weight[:first, 1] > 0 for plan in plans])
    none = torch.zeros(n, 4, dtype=torch.int64)
    cut = torch.cat([(none if plan.box is None else plan.box)[:first].any(1) for plan in plans])[mixed]
    assert len(mixed) == 4000
    for events, rate in ((mixed, 0.6), (cut, 0.3)):
        assert abs(events.double().mean().item() - rate) < 4 * (rate * (1 - rate) / len(events)) ** 0.5


SETTINGS = [
    {"mixup_alpha": 0.4},
    {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "correct_lam": False},
    {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 0.7},
    {"mixup_alpha": 0.3, "cutmix_minmax": (0.2, 0.4), "switch_prob": 0.0},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_timm_presets_take_any_batch(mode, settings, n):
    policy = timm_mixup(**settings, mode=mode)
    assert policy_from_dict(policy.to_dict()) == policy
    x = torch.rand(n, 3, 9, 14)
    for key in range(5):
        plan = policy.sample(n, x.shape[1:], keyed_generator(key))
        assert set(plan.source[:, 1].tolist()) <= set(range(n))
        assert all(s in (r, n - 1 - r) for r, s in enumerate(plan.source[:, 1].tolist()))
        assert torch.equal(plan.apply(x)[n // 2], x[n // 2]) or n % 2 == 0
        torch.testing.assert_close(plan.targets(torch.arange(n)).dense(n).sum(1), torch.ones(n))


def test_presets_are_these_policies():
    assert timm_mixup() == Mixup(1.0, pairing="reversal")
    assert timm_mixup(0, 0.5, mode="elem") == CutMix(0.5, granularity="example", pairing="reversal")
    both = timm_mixup(0.8, 1, prob=0.9, switch_prob=0.25, mode="pair", correct_lam=False)
    shared = {"p": 0.9, "granularity": "pair", "pairing": "reversal"}
    members = [Mixup(0.8, **shared), CutMix(1.0, **shared, correct_lambda=False)]
    assert both == OneOf(members, (0.75, 0.25), granularity="pair")
    assert (official_mixup(0.2), official_regmixup(10)) == (Mixup(0.2), RegMixup(10))
    assert official_cutmix(prob=0.5) == CutMix(p=0.5)
    assert (torchvision_mixup(2), torchvision_cutmix(2)) == (Mixup(2, pairing="roll"), CutMix(2, pairing="roll"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixup_alpha": 0}, "one of mixup_alpha and cutmix_alpha is above 0"),
        ({"mixup_alpha": -1}, "mixup_alpha is a finite number, at least 0, not -1"),
        ({"cutmix_alpha": float("nan")}, "cutmix_alpha is a finite number, at least 0, not nan"),
        ({"mode": "half"}, "mode is one of batch, elem, pair, not 'half'"),
        ({"prob": 1.5}, r"prob is a number in \[0, 1\], not 1.5"),
        ({"cutmix_alpha": 1, "switch_prob": "x"}, r"switch_prob is a number in \[0, 1\], not 'x'"),
        ({"cutmix_minmax": (0.8, 0.2)}, "minmax is"),
    ],
)
def test_bad_presets_are_named(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        timm_mixup(**settings)
    assert "\n" not in str(error.value)
