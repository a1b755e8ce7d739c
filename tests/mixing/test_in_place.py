"""Mixing in place: no row is overwritten while another still needs it, and hardly any memory is taken."""

import pytest
import torch
from drawn import assert_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from hfmix import ERM, CutMix, DirichletMixup, MixPlan, Mixup, ResizeMix
from hfmix.mixing import keyed_generator
from hfmix.mixing.kernels.rows import _SAVED, in_place_order

MIB = 2**20
graphs = st.integers(1, 12).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=n, max_size=n))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(graphs)
def test_each_row_reads_its_partner_as_it_was(partner):
    """Any graph in which each row has one partner: trees that lead into cycles, loops, many readers of one row."""
    cells, saved, written = list(range(len(partner))), None, []
    for r, source in in_place_order(partner):
        if r == _SAVED:
            saved = cells[source]
            continue
        assert cells[r] == r
        assert (saved if source == _SAVED else cells[source]) == partner[r]
        cells[r] = None
        written.append(r)
    assert sorted(written) == list(range(len(partner)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs, st.booleans())
def test_any_graph_is_mixed_in_place(partner, uint8):
    """uint8 goes row by row, float32 many rows at a time."""
    n = len(partner)
    own = torch.rand(n, generator=torch.Generator().manual_seed(n))
    weight = torch.stack([own, 1 - own], 1)
    plan = MixPlan(torch.tensor(list(enumerate(partner))), weight, weight, torch.ones(n), n)
    x = torch.randint(256, (n, 5), generator=torch.Generator().manual_seed(n)).to(torch.uint8)
    x = x if uint8 else x.float()
    before = x.clone()
    assert_reference(plan.apply_(x), before, plan)


def peak_memory(work) -> int:
    """The most bytes that torch's CPU allocator had given out at once during `work`, beside those before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        most = max(most, taken)
    return most


def test_the_measure_sees_what_is_taken():
    taken = peak_memory(lambda: torch.ones(3, MIB, dtype=torch.uint8) + 1)
    assert 6 * MIB <= taken < 6.01 * MIB


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        (Mixup(), 1),
        (Mixup(granularity="example"), 1),
        (CutMix(), 1),
        (DirichletMixup(), 1),
        (ERM(), 1),
        (ResizeMix(), 3),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_large_rows_take_one_row_more(policy, rows, dtype):
    """Six rows of 1 to 4 MiB, channels last, which costs ResizeMix most: a copy would be six rows at least."""
    x = torch.zeros(6, 2, 1024, 512, dtype=dtype).to(memory_format=torch.channels_last)
    plan = policy.sample(6, x.shape[1:], keyed_generator(2))
    assert peak_memory(lambda: plan.apply_(x)) <= rows * x[0].nbytes + 4.1 * MIB


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("granularity", ["batch", "example"])
def test_small_rows_take_a_block(granularity, dtype):
    x = torch.zeros(4096, 2000, dtype=dtype)
    plan = Mixup(granularity=granularity).sample(len(x), generator=keyed_generator(2))
    assert peak_memory(lambda: plan.apply_(x)) <= 4.2 * MIB
