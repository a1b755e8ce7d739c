"""A plan is applied row by row as it says, whatever the shape and dtype."""

import copy
import pickle
import weakref
from dataclasses import fields, replace

import pytest
import torch

from hfmix import CutMix, MixPlan, Mixup, RegMixup
from hfmix.mixing import keyed_generator

N, C, SHAPE = 7, 11, (3, 5)


def injected_plan() -> MixPlan:
    """Odd batch, known partners, a weight of its own for each row."""
    partner = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    m = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])
    source = torch.stack([torch.arange(N), partner], 1)
    weight = torch.stack([1 - m, m], 1)
    return MixPlan(source, weight, weight, torch.ones(N), N)


def test_each_row_is_the_weighted_sum_of_its_sources():
    plan, x = injected_plan(), torch.randn(N, *SHAPE)
    mixed = plan.apply(x)
    for r in range(N):
        (i, j), (a, b) = plan.source[r], plan.weight[r]
        torch.testing.assert_close(mixed[r], a * x[i] + b * x[j])
    assert torch.equal(mixed[0], x[0])  # m = 0
    torch.testing.assert_close(mixed[6], x[4])  # m = 1


def test_three_sources():
    source = torch.tensor([[0, 1, 2], [2, 2, 0]])
    weight = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    x = torch.randn(3, 4)
    mixed = MixPlan(source, weight, weight, torch.ones(2), 3).apply(x)
    expected = torch.stack([(weight[r, :, None] * x[source[r]]).sum(0) for r in range(2)])
    torch.testing.assert_close(mixed, expected)


def test_a_row_is_a_copy_only_where_one_weight_is_one():
    """A plan is any sparse matrix: weights of 1 and 1 add up, weights of 0 and 0 leave nothing."""
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    plan = MixPlan(torch.tensor([[0, 1], [1, 2], [2, 0]]), weight, weight, torch.ones(3), 3)
    x = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    expected = torch.tensor([[11.0, 22.0], [0.0, 0.0], [1.0, 2.0]])
    assert torch.equal(plan.apply(x), expected)
    assert torch.equal(plan.apply(x.clone().requires_grad_()).detach(), expected)
    assert torch.equal(plan.apply_(x.clone()), expected)
    with pytest.raises(TypeError, match="int64"):
        plan.apply(x.long())


def test_apply_leaves_its_input_and_apply_does_it_in_place():
    plan, x = injected_plan(), torch.randn(N, *SHAPE)
    before, mixed = x.clone(), plan.apply(x)
    assert torch.equal(x, before)
    assert plan.apply_(x) is x
    assert torch.equal(x, mixed)


def test_out_receives_the_rows():
    plan, x = RegMixup().sample(N), torch.randn(N, *SHAPE)
    out = torch.full((2 * N, *SHAPE), torch.nan)
    assert plan.apply(x, out=out) is out
    assert torch.equal(out, plan.apply(x))
    with pytest.raises(ValueError, match=r"out is \(7, 3, 5\)"):
        plan.apply(x, out=torch.empty(N, *SHAPE))


def test_out_may_have_another_memory_format():
    plan, x = RegMixup().sample(N), torch.randn(N, 3, 4, 5)
    mixed, last = plan.apply(x), torch.channels_last
    out = torch.empty_like(mixed, memory_format=last)
    assert torch.equal(plan.apply(x, out=out), mixed)
    assert torch.equal(plan.apply(x.to(memory_format=last), out=torch.empty_like(mixed)), mixed)


@pytest.mark.parametrize(
    "x", [torch.randn(4, N).t(), torch.randn(1, 4).expand(N, 4)], ids=["transposed", "expanded"]
)
def test_more_rows_than_the_input_share_no_memory(x):
    """A transposed or expanded batch has a stride between rows that its result must not copy."""
    plan = RegMixup().sample(N)
    mixed = plan.apply(x)
    exact = torch.einsum("rk,rkd->rd", plan.weight, x[plan.source])
    torch.testing.assert_close(mixed, exact)
    mixed[0] = torch.nan
    assert mixed[1:].isfinite().all()


def test_gradients_flow_to_every_source():
    plan = injected_plan()
    x = torch.randn(N, *SHAPE, requires_grad=True)
    plan.apply(x).sum().backward()
    share = torch.zeros(N).index_add_(0, plan.source.flatten(), plan.weight.flatten())
    torch.testing.assert_close(x.grad, share[:, None, None].expand(N, *SHAPE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_mixed_in_single(dtype):
    """To the dtype's last place, or that of the float32 weights where it is finer."""
    plan, x = injected_plan(), torch.randn(N, *SHAPE).to(dtype)
    mixed = plan.apply(x)
    assert mixed.dtype == dtype
    exact = torch.einsum("rk,rkab->rab", plan.weight.double(), x.double()[plan.source])
    assert (mixed.double() - exact).abs().max() <= max(torch.finfo(dtype).eps, 2**-23) * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("granularity", ["batch", "example"])
def test_weights_are_not_rounded_to_half_precision(dtype, granularity):
    """Each value is the half that lies nearest to the exact one: half a last place off, not more."""
    plan = Mixup(granularity=granularity).sample(16, generator=keyed_generator(3))
    x = torch.randn(16, 200).to(dtype)
    exact = torch.einsum("rk,rkd->rd", plan.weight.double(), x.double()[plan.source])
    nearest = (exact.to(dtype).double() - exact).abs()
    assert (plan.apply(x).double() - exact).abs().mean() <= nearest.mean() * (1 + 1e-3)


def test_uint8_is_rounded_not_truncated():
    source = torch.tensor([[0, 1], [0, 1]])
    weight = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    x = torch.tensor([[10, 0], [13, 255]], dtype=torch.uint8)
    mixed = MixPlan(source, weight, weight, torch.ones(2), 2).apply(x)
    assert mixed.dtype == torch.uint8
    assert mixed.tolist() == [[12, 128], [13, 230]]  # 11.5 → 12 (to even), 127.5 → 128, 12.7 → 13, 229.5 → 230


def test_targets_keep_unique_labels_apart():
    plan, labels = injected_plan(), torch.arange(N)
    dense = plan.targets(labels).dense(C)
    torch.testing.assert_close(dense.sum(1), torch.ones(N))
    assert dense.count_nonzero(1).tolist() == [1, 2, 2, 2, 2, 2, 1]
    assert dense[1, 1] == pytest.approx(0.9) and dense[1, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["soft", "multi-hot"])
def test_soft_labels_are_mixed_like_inputs(kind):
    plan = injected_plan()
    labels = torch.rand(N, C).softmax(1) if kind == "soft" else (torch.rand(N, C) > 0.5).float()
    torch.testing.assert_close(plan.targets(labels).dense(C), plan.apply(labels))


def test_a_source_of_weight_zero_lends_neither_padding_nor_length():
    plan, lengths = injected_plan(), torch.arange(1, N + 1)
    mask = (torch.arange(N) < lengths[:, None]).long()
    longest = [1, 2, 7, 4, 6, 6, 5]  # row 0 has nothing of row 3, row 6 nothing of itself
    assert plan.apply_lengths(lengths).tolist() == longest
    assert plan.apply_mask(mask).sum(1).tolist() == longest


def test_wrong_shapes_and_kinds_are_named():
    plan = injected_plan()
    with pytest.raises(ValueError, match=r"drawn for 7 rows, the tensor has shape \(6, 3\)"):
        plan.apply(torch.zeros(6, 3))
    with pytest.raises(TypeError, match="int64"):
        plan.apply(torch.zeros(N, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="14"):
        RegMixup().sample(N).apply_(torch.zeros(N, 3))
    with pytest.raises(ValueError, match=r"labels have shape \(6,\)"):
        plan.targets(torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(7, 2\) torch.int64"):
        plan.targets(torch.full((N, 2), 3))
    with pytest.raises(ValueError, match="label 11 lies outside the 11 classes"):
        plan.targets(torch.full((N,), 11)).dense(C)


def test_a_batch_of_one():
    x = torch.randn(1, *SHAPE)
    torch.testing.assert_close(Mixup().sample(1).apply(x), x)
    torch.testing.assert_close(RegMixup().sample(1).apply(x), torch.cat([x, x]))


def test_fields_keep_their_order_copies_mix_alike_and_plans_are_freed():
    names = "source weight label_weight row_weight num_inputs box box_axes box_extent resize layer"
    assert [field.name for field in fields(MixPlan)] == names.split()
    x, plan = torch.randn(8, 3, 4, 4), CutMix().sample(8, (3, 4, 4), torch.Generator().manual_seed(0))
    mixed = plan.apply(x)
    for other in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan), replace(plan, layer="head")):
        assert other != plan and torch.equal(other.apply(x), mixed)
    freed = weakref.ref(plan)
    del plan
    assert freed() is None
