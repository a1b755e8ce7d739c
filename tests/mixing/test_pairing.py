"""Who is mixed with whom: the partners are drawn as each pairing says, and rows without one stay as they are."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from hfmix import Mixup
from hfmix.mixing import keyed_generator

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
classes = st.lists(st.integers(0, 3), min_size=1, max_size=9)


def partners(pairing: str, n: int, key: int = 0, **batch) -> list[int]:
    generator = key if isinstance(key, torch.Generator) else keyed_generator(key)
    return Mixup(pairing=pairing).sample(n, generator=generator, **batch).source[:, 1].tolist()


def assert_uniform(counts: Counter, kinds: int, draws: int) -> None:
    """A chi-squared test at 1e-4."""
    expected = draws / kinds
    assert len(counts) == kinds
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < chi2(kinds - 1).ppf(1 - 1e-4)


def test_derangements_are_uniform():
    """The 9 derangements of 4 rows; 4,500 draws see one that is a quarter too frequent with a power above .95."""
    generator = keyed_generator(3)
    counts = Counter(tuple(partners("derangement", 4, generator)) for _ in range(4500))
    assert all(r != p for partner in counts for r, p in enumerate(partner))
    assert_uniform(counts, 9, 4500)


def test_permutations_within_a_class_are_uniform():
    """3! · 2! of them, and the row that is alone in its class is its own partner."""
    generator, labels = keyed_generator(4), torch.tensor([5, 2, 5, 7, 2, 5])
    counts = Counter(tuple(partners("same_class", 6, generator, labels=labels)) for _ in range(6000))
    assert all(labels[list(partner)].tolist() == labels.tolist() and partner[3] == 3 for partner in counts)
    assert_uniform(counts, 12, 6000)


def test_partners_of_other_classes_are_uniform():
    """Row 0 has three to choose from, independently of row 1."""
    generator, labels = keyed_generator(5), torch.tensor([0, 0, 1, 2, 1])
    counts = Counter(tuple(partners("different_class", 5, generator, labels=labels)[:2]) for _ in range(4500))
    assert all({*partner} <= {2, 3, 4} for partner in counts)
    assert_uniform(counts, 9, 4500)


@EXAMPLES
@given(classes, st.booleans(), st.integers(0, 99))
def test_classes_are_kept_apart_or_together(labels, soft, key):
    n, given_labels = len(labels), torch.tensor(labels)
    if soft:
        given_labels = torch.nn.functional.one_hot(given_labels, 4).float()
    for r, p in enumerate(partners("different_class", n, key, labels=given_labels)):
        assert labels[p] != labels[r] if len(set(labels)) > 1 else p == r
    same = partners("same_class", n, key, labels=given_labels)
    assert sorted(same) == list(range(n)) and all(labels[p] == labels[r] for r, p in enumerate(same))


@EXAMPLES
@given(classes, st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.uint8]), st.integers(0, 99))
def test_nearest_is_the_nearest(labels, dtype, key):
    """Against NumPy in float64; where two are equally near, either will do."""
    n = len(labels)
    x = (torch.rand(n, 2, 3, generator=torch.Generator().manual_seed(key)) * 200).to(dtype)
    rows = x.double().reshape(n, -1).numpy()
    distance = np.sqrt(((rows[:, None] - rows) ** 2).sum(-1))
    for pairing in ("nearest", "nearest_same_class"):
        for r, p in enumerate(partners(pairing, n, key, labels=torch.tensor(labels), inputs=x)):
            others = [i for i in range(n) if i != r and (pairing == "nearest" or labels[i] == labels[r])]
            if others:
                assert p in others
                assert distance[r, p] == pytest.approx(min(distance[r, i] for i in others), rel=1e-5)
            else:
                assert p == r


@EXAMPLES
@given(st.integers(1, 9), st.integers(0, 99))
def test_positions(n, key):
    assert partners("reversal", n, key) == list(range(n))[::-1]
    assert partners("roll", n, key) == [(r - 1) % n for r in range(n)]
    assert sorted(partners("random", n, key)) == list(range(n))
    deranged = partners("derangement", n, key)
    assert sorted(deranged) == list(range(n)) and (n == 1 or all(r != p for r, p in enumerate(deranged)))


@pytest.mark.parametrize(
    "pairing", ["derangement", "same_class", "different_class", "nearest", "nearest_same_class"]
)
def test_rows_without_a_partner_stay_as_they_are(pairing):
    """Alone in the batch; or alone in a class, or with nobody from another."""
    x = torch.randn(1, 3)
    single = Mixup(pairing=pairing).sample(1, labels=torch.tensor([2]), inputs=x, generator=keyed_generator(0))
    torch.testing.assert_close(single.apply(x), x)
    labels = torch.tensor([4, 4, 4]) if pairing == "different_class" else torch.tensor([1, 2, 3])
    if "class" in pairing:
        x = torch.randn(3, 3)
        plan = Mixup(pairing=pairing).sample(3, labels=labels, inputs=x, generator=keyed_generator(0))
        torch.testing.assert_close(plan.apply(x), x)
        torch.testing.assert_close(plan.targets(torch.arange(3)).dense(3), torch.eye(3))


@pytest.mark.parametrize(
    ("pairing", "batch", "message"),
    [
        ("same_class", {}, r"needs the batch's labels, \(N,\) or \(N, C\).*none given"),
        ("same_class", {"labels": torch.arange(3)}, r"shape \(3,\) given"),
        ("different_class", {"labels": {"a": torch.arange(2)}}, "a dictionary of a given"),
        ("nearest", {"labels": torch.arange(2)}, "needs the batch's inputs"),
        ("nearest_same_class", {"inputs": torch.zeros(2, 1)}, "needs the batch's labels"),
    ],
)
def test_what_is_missing_is_named(pairing, batch, message):
    with pytest.raises(ValueError, match=message):
        partners(pairing, 2, **batch)
