"""Policies draw the distributions that the papers state, and refuse settings that mean nothing."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from hfmix import (
    ERM,
    CutMix,
    DirichletMixup,
    InputMixup,
    Mixup,
    OneOf,
    RegMixup,
    ResizeMix,
    TimeCutMix,
    get_policy,
    policy_from_dict,
)
from hfmix.mixing import Schedule, keyed_generator, policy_names
from hfmix.mixing.policies.cut import draw_clipped_boxes

DRAWS = 2000


def test_erm_draws_nothing():
    """Evaluation goes through it: a draw from the global generator there would change the training after it."""
    before = torch.get_rng_state()
    ERM().sample(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_erm_is_the_identity():
    plan, x = ERM().sample(5), torch.randn(5, 3)
    assert torch.equal(plan.apply(x), x)
    assert torch.equal(plan.targets(torch.arange(5)).dense(5), torch.eye(5))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 1, 10, 20])
@pytest.mark.parametrize("policy", [Mixup, RegMixup])
def test_lambda_is_beta_distributed(policy, alpha):
    """2,000 draws tell a CDF that is off by .05 anywhere with a power above .99 at this level (1e-3).

    The smaller of λ and 1 − λ is tested: float32 cannot tell a λ near 1 from 1.
    """
    generator = keyed_generator(7, int(alpha * 10))
    smaller = [policy(alpha).sample(2, generator=generator).weight[-1].min().item() for _ in range(DRAWS)]
    assert kstest(smaller, lambda t: 2 * beta(alpha, alpha).cdf(t)).pvalue > 1e-3


LENGTH = 2**50  # of a side, so that a box shows its λ to float64's last places
OF_EACH = {"granularity": "example", "pairing": "roll"}


def lambdas(name: str, alpha: float) -> torch.Tensor:
    """min(λ, 1 − λ) of many examples, read from what the policy of this name makes of it."""
    generator = keyed_generator(9, int(alpha * 10))
    if name == "regmixup":
        plan = RegMixup(base=Mixup(alpha, **OF_EACH)).sample(DRAWS, generator=generator)
        return plan.weight[DRAWS:].amin(1)
    if name == "dirichlet_mixup":
        plan = DirichletMixup(2, alpha, granularity="example").sample(DRAWS, generator=generator)
    elif name == "resizemix":
        plan = ResizeMix(alpha, **OF_EACH, scale=(1e-12, 1.0)).sample(DRAWS, (LENGTH, 1), generator)
        lam = (plan.box[:, 2] - plan.box[:, 0]).double() / LENGTH
        return torch.minimum(lam, 1 - lam)
    else:
        settings = {"correct_lambda": False} if name == "cutmix" else {}
        shape = (8, 8) if name == "cutmix" else (LENGTH,)
        plan = get_policy(name, alpha=alpha, **OF_EACH, **settings).sample(DRAWS, shape, generator)
    return (plan.label_weight if name == "cutmix" else plan.weight).amin(1)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 1, 10, 20])
@pytest.mark.parametrize("name", [name for name in policy_names() if name not in ("erm", "one_of")])
def test_every_policy_draws_lambda_from_beta(name, alpha):
    """As above, with one λ for each example; TimeCutMix keeps λ of the time, not √λ."""
    assert kstest(lambdas(name, alpha), lambda t: 2 * beta(alpha, alpha).cdf(t)).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.1, 1, 20])
@pytest.mark.parametrize("k", [3, 4])
def test_dirichlet_weights_have_beta_marginals(k, alpha):
    """Each of k weights is Beta(α, (k − 1) α)."""
    plan = DirichletMixup(k, alpha, granularity="example").sample(DRAWS, generator=keyed_generator(10, k))
    for weight in plan.weight.double().T:
        assert kstest(weight, beta(alpha, (k - 1) * alpha).cdf).pvalue > 1e-3


def test_boxes_lie_around_their_centre():
    """An odd size has one pixel more after the centre than before it, as in timm; then the border clips."""

    class Centres:
        def integers(self, low, high, size):
            return np.array([0, 6, 6, 11]) if high == 12 else np.array([0, 5, 5, 9])

    sizes = np.array([[5, 4], [5, 4], [6, 3], [12, 10]])
    boxes = draw_clipped_boxes(Centres(), sizes, (12, 10))
    assert boxes.tolist() == [[0, 0, 3, 2], [4, 3, 9, 7], [3, 4, 9, 7], [5, 4, 12, 10]]


def test_input_mixup_keeps_the_label_of_the_larger_share():
    plan = InputMixup(0.4, granularity="example", pairing="roll").sample(500, generator=keyed_generator(6))
    assert plan.weight[:, 0].min() >= 0.5 and plan.weight[:, 0].max() > 0.99
    assert torch.equal(plan.targets(torch.arange(500)).dense(500), torch.eye(500))


@pytest.mark.parametrize("size", [224, 32])
def test_clipped_boxes_have_the_area_that_follows_from_the_definition(size):
    """0.3193 at 224 pixels and 0.3103 at 32 for α = 1; boxes of twice ⌊cut / 2⌋ would have 0.3178 and 0.2993.

    √(1−λ) is r with density 2r, so a side is j pixels with probability (2j + 1) / size². 20,000 boxes tell areas
    .009 apart with a power above .99 at four standard deviations.
    """
    centre = np.arange(size)
    mean = 0.0
    for j in range(size):
        start = centre - j // 2
        seen = np.minimum(start + j, size) - np.maximum(start, 0)
        mean += (2 * j + 1) / size**2 * (seen.mean() / size) ** 2
    plan = CutMix(**OF_EACH).sample(20_000, (size, size), keyed_generator(11))
    area = plan.label_weight[:, 1].double()
    assert abs(area.mean() - mean) < 4 * area.std() / len(area) ** 0.5
    assert mean == pytest.approx({224: 0.3193, 32: 0.3103}[size], abs=1e-4)


@pytest.mark.parametrize(
    "policy", [TimeCutMix(**OF_EACH), ResizeMix(**OF_EACH), CutMix(**OF_EACH, minmax=(0.1, 0.9))]
)
def test_whole_boxes_lie_anywhere(policy):
    """Uniform among the places where they fit, whatever their size."""
    plan = policy.sample(DRAWS, (LENGTH,) if policy.name == "time_cutmix" else (LENGTH, 1), keyed_generator(12))
    start, stop = plan.box[:, 0].double(), plan.box[:, plan.box.shape[1] // 2].double()
    assert kstest(start / (LENGTH - (stop - start)), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", [name for name in policy_names() if name not in ("erm", "one_of", "regmixup")])
@pytest.mark.parametrize("granularity", ["batch", "example"])
def test_rows_are_mixed_at_the_rate_p(name, granularity):
    """2,000 draws, four standard deviations: a rate .1 off is seen with a power above .99."""
    pairing = {} if name == "dirichlet_mixup" else {"pairing": "roll"}
    policy = get_policy(name, p=0.3, granularity=granularity, **pairing)
    n, count = (DRAWS, 1) if granularity == "example" else (2, DRAWS)
    generator = keyed_generator(13)
    plans = [policy.sample(n, (16, 16), generator) for _ in range(count)]
    first = torch.cat([plan.weight[: DRAWS // count, 0] for plan in plans])
    assert abs((first < 1).double().mean().item() - 0.3) < 4 * (0.3 * 0.7 / DRAWS) ** 0.5


@pytest.mark.parametrize("alpha", [0.2, 1, 20])
def test_lambda_has_the_variance_of_beta(alpha):
    """Var = 1 / (4 (2α + 1)); some implementations drew Beta(α, α) with another one and went unnoticed."""
    generator = keyed_generator(8)
    lam = torch.stack([Mixup(alpha).sample(2, generator=generator).weight[0, 0] for _ in range(DRAWS)])
    expected = 1 / (4 * (2 * alpha + 1))
    assert lam.var().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / DRAWS))


def test_mixup_draws_one_lambda_a_batch_and_a_permutation():
    plan = Mixup().sample(64, generator=keyed_generator(1))
    assert plan.weight.unique(dim=0).shape[0] == 1
    assert plan.source[:, 0].tolist() == list(range(64))
    assert sorted(plan.source[:, 1].tolist()) == list(range(64)) != plan.source[:, 1].tolist()
    torch.testing.assert_close(plan.weight.sum(1), torch.ones(64))


def test_partners_are_uniform():
    """Each of the 6 permutations of 3 rows: chi-squared of 6,000 draws, limit at 1e-4, 5 degrees of freedom."""
    generator, counts = keyed_generator(2), {}
    for _ in range(6000):
        partner = tuple(Mixup().sample(3, generator=generator).source[:, 1].tolist())
        counts[partner] = counts.get(partner, 0) + 1
    assert len(counts) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 25.7


@pytest.mark.parametrize("name", ["mixup", "cutmix", "resizemix", "input_mixup", "dirichlet_mixup", "time_cutmix"])
@pytest.mark.parametrize("setting", ["alpha", "p"])
def test_a_schedule_at_zero_mixes_nothing(name, setting):
    """Also where the size of the box does not follow λ, as in CutMix with minmax."""
    off = {setting: Schedule.switch_on(1.0, 0.5)}
    x = torch.randn(6, 3, 8, 8)
    for policy in [get_policy(name, **off), *([CutMix(minmax=(0.3, 0.8), **off)] if name == "cutmix" else [])]:
        plan = policy.sample(6, x.shape[1:], keyed_generator(0), progress=0.2)
        assert torch.equal(plan.apply(x), x)
        assert torch.equal(plan.targets(torch.arange(6)).dense(6), torch.eye(6))
        later = policy.sample(6, x.shape[1:], keyed_generator(0), progress=0.8)
        assert not torch.equal(later.apply(x), x)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_a_pair_shares_its_policy(n):
    """Row i and row N−1−i are both cut or both interpolated, by the same λ: timm's mode "pair"."""
    members = [policy(pairing="reversal", granularity="pair") for policy in (Mixup, CutMix)]
    policy, cuts = OneOf(members, granularity="pair"), set()
    assert policy_from_dict(policy.to_dict()) == policy
    for key in range(20):
        plan = policy.sample(n, (3, 16, 16), keyed_generator(key))
        assert torch.equal(plan.weight, plan.weight.flip(0)) and torch.equal(plan.box, plan.box.flip(0))
        cuts |= set(plan.box.any(1).tolist())
    assert cuts == ({False, True} if n > 1 else {False})


def test_regmixup_keeps_the_clean_rows_exactly():
    x = torch.randn(6, 4) * 1e3
    plan = RegMixup().sample(6, generator=keyed_generator(3))
    assert torch.equal(plan.apply(x)[:6], x)
    assert plan.num_rows == 12 and plan.num_inputs == 6


@pytest.mark.parametrize(
    ("policy", "clean", "mixed"),
    [
        (RegMixup(), 0.5, 0.5),
        (RegMixup(eta=3), 0.25, 0.75),
        (RegMixup(eta=3, reduction="sum"), 1.0, 3.0),
    ],
)
def test_regmixup_weighs_its_two_losses(policy, clean, mixed):
    torch.testing.assert_close(policy.sample(2).row_weight, torch.tensor([clean, clean, mixed, mixed]))


@pytest.mark.parametrize("policy", [ERM(), Mixup(0.3), RegMixup(5.0, eta=2.0, reduction="sum")])
def test_policies_round_trip_and_compare_by_value(policy):
    again = policy_from_dict(policy.to_dict())
    assert again == policy and hash(again) == hash(policy)
    assert again is not policy


def test_every_name_gives_its_policy():
    names = "erm mixup cutmix resizemix regmixup manifold_mixup dirichlet_mixup input_mixup time_cutmix one_of"
    assert policy_names() == names.split()
    for name in policy_names():
        assert get_policy(name, **({"policies": [{"name": "erm"}]} if name == "one_of" else {})).name == name
    assert get_policy("regmixup", alpha=10) == RegMixup(alpha=10)


@pytest.mark.parametrize("alpha", [0, -1, math.nan, math.inf, "1", True, None])
def test_alpha_is_a_positive_number(alpha):
    with pytest.raises(ValueError, match="mixup: alpha is a finite number above 0"):
        Mixup(alpha)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: get_policy("mixip"), "unknown policy 'mixip': did you mean 'mixup'?"),
        (lambda: get_policy("zzz"), "there are erm, mixup, cutmix"),
        (lambda: get_policy("erm", alpha=1), "erm has no setting 'alpha'"),
        (lambda: RegMixup(eta=0), "eta is a finite number above 0, not 0"),
        (lambda: RegMixup(reduction="avg"), "reduction is one of mean, sum, not 'avg'"),
        (lambda: policy_from_dict({"alpha": 1}), "has a 'name'"),
        (lambda: OneOf([ERM()], ["1"]), "weights are finite numbers, at least 0, not '1'"),
        (lambda: OneOf([ERM()], [math.nan]), "weights are finite numbers, at least 0, not nan"),
        (lambda: OneOf([ERM()], 1.0), "weights are a list of numbers or schedules, not 1.0"),
        (lambda: OneOf([ERM()], [1, 2]), "1 policies have 2 weights"),
        (lambda: OneOf([ERM()], [0]), "one of the weights is above 0"),
        (
            lambda: OneOf([TimeCutMix(axis=1), TimeCutMix(axis=2)], granularity="example"),
            "time_cutmix of axis 1 and time_cutmix of axis 2 cut differently",
        ),
        (lambda: OneOf([CutMix()], granularity="pair"), "policies of pairing 'reversal', not cutmix"),
        (lambda: OneOf([DirichletMixup()], granularity="pair"), "pairing 'reversal', not dirichlet"),
        (lambda: OneOf([CutMix(), ResizeMix()], granularity="example"), "cutmix and resizemix cut differently"),
        (lambda: Mixup().sample(0), "at least one example, not 0"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_a_key_fixes_the_plan_and_keys_differ_in_every_part():
    def draw(*key):
        plan = Mixup().sample(16, generator=keyed_generator(*key))
        return (plan.weight[0, 0].item(), *plan.source[:, 1].tolist())

    torch.manual_seed(1)
    first = draw(0, 1, 2, 3)
    torch.manual_seed(2)
    assert draw(0, 1, 2, 3) == first
    others = [
        draw(*key) for key in [(1, 1, 2, 3), (0, 2, 2, 3), (0, 1, 3, 3), (0, 1, 2, 4), (0, 12, 3), (0, 1, 23)]
    ]
    assert len({first, *others}) == 7
    assert Mixup().sample(4, generator=None).source.shape == (4, 2)  # torch's global generator
