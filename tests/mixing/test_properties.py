"""Properties of every policy, for all settings, batches, dtypes and memory layouts."""

import json
import os
import subprocess
import sys
from unittest.mock import patch

import pytest
import torch
import yaml
from drawn import FLOATS, Case, assert_reference, cases, draw_all, laid_out, policies
from hypothesis import given, settings
from hypothesis import strategies as st
from project import ROOT

from hfmix import ERM, MixPlan, Mixup, RegMixup, policy_from_dict
from hfmix.mixing import keyed_generator
from hfmix.mixing.kernels import rows
from hfmix.mixing.policies import POLICIES

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
TENSORS = ("source", "weight", "label_weight", "row_weight", "box")
# rows that count as large are mixed one by one, small ones many at a time in blocks; both are small in a test
SIZES = [(rows._LARGE_ROW, rows._BLOCK), (rows._LARGE_ROW, 16), (0, rows._BLOCK), (0, 16)]


def same_plans(a: MixPlan, b: MixPlan) -> bool:
    values = [(getattr(a, name), getattr(b, name)) for name in TENSORS]
    return a.layer == b.layer and all(x is y is None or torch.equal(x, y) for x, y in values)


def check_every_way(case: Case, memory: str) -> None:
    plan, x = case.plan(), case.x
    before = x.clone()
    assert_reference(plan.apply(x), before, plan)
    out = laid_out(torch.ones((plan.num_rows, *x.shape[1:]), dtype=x.dtype), memory)
    assert plan.apply(x, out=out) is out
    assert_reference(out, before, plan)
    assert torch.equal(x, before)
    if plan.num_rows != plan.num_inputs:
        with pytest.raises(ValueError, match="use apply"):
            plan.apply_(x)
    else:
        strides = x.stride()
        assert plan.apply_(x) is x and x.stride() == strides
        assert_reference(x, before, plan)


@settings(EXAMPLES, max_examples=250)
@given(cases(), st.sampled_from(SIZES), st.sampled_from(["contiguous", "channels_last", "batch_last", "strided"]))
def test_every_way_of_applying_is_the_row_by_row_definition(case, sizes, memory):
    with patch.multiple(rows, _LARGE_ROW=sizes[0], _BLOCK=sizes[1]):
        check_every_way(case, memory)


@settings(EXAMPLES, max_examples=250)
@given(cases(dtypes=(torch.int64, torch.bool, torch.int32), only_boxes=True))
def test_boxes_move_class_ids_and_masks_as_they_are(case):
    check_every_way(case, "contiguous")


@settings(EXAMPLES, max_examples=150)
@given(cases(dtypes=FLOATS))
def test_gradients_are_the_transposed_plan(case):
    """<A x, g> = <x, Aᵀ g>, and the differentiable path gives the same rows."""
    plan, x = case.plan(), case.x.clone().requires_grad_()
    mixed = plan.apply(x)
    assert_reference(mixed, case.x, plan)
    g = torch.rand(mixed.shape, dtype=torch.float64).to(mixed.dtype)
    mixed.backward(g)
    given, taken = (mixed.double() * g.double()).sum(), (x.double() * x.grad.double()).sum()
    scale = (mixed.double().abs() * g.double()).sum() + (x.double() * x.grad.double()).abs().sum() + 1
    assert (given - taken).abs() <= 4 * max(torch.finfo(x.dtype).eps, 2**-23) * scale


@EXAMPLES
@given(cases(dtypes=(torch.float32, torch.uint8)))
def test_channels_last_stays(case):
    x = laid_out(case.x, "channels_last")
    if x.ndim in (4, 5):
        memory_format = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        assert case.plan().apply(x).is_contiguous(memory_format=memory_format)


@EXAMPLES
@given(cases())
def test_weights_are_shares(case):
    plan = case.plan()
    assert plan.source.dtype == torch.int64 and plan.source.min() >= 0 and plan.source.max() < len(case.x)
    assert plan.weight.shape == plan.label_weight.shape == plan.source.shape
    for weight in (plan.weight, plan.label_weight):
        assert weight.dtype == torch.float32 and weight.min() >= 0 and weight.max() <= 1
        torch.testing.assert_close(weight.sum(1), torch.ones(plan.num_rows))
    assert plan.row_weight.shape == (plan.num_rows,) and plan.row_weight.min() > 0


@EXAMPLES
@given(cases(dtypes=(torch.float32,), only_boxes=True))
def test_labels_are_the_share_of_the_pixels(case):
    """Each pixel of row i holds i, so that what comes out says whose it is: counted, not worked out."""
    plan, n = case.plan(), len(case.x)
    tagged = torch.arange(n, dtype=torch.float32).reshape(n, *[1] * (case.x.ndim - 1)).expand_as(case.x)
    pixels = plan.apply(tagged).flatten(1).long()
    counted = torch.stack([(pixels == i).double().mean(1) for i in range(n)], dim=1)
    dense = plan.targets(torch.arange(n)).dense(n).double()
    follows = getattr(case.policy, "correct_lambda", True) or getattr(case.policy, "minmax", None)
    if follows:
        torch.testing.assert_close(dense, counted, rtol=0, atol=6e-8)
    weights = torch.zeros(n, n).scatter_add_(1, plan.source, plan.weight).double()
    torch.testing.assert_close(weights, counted, rtol=0, atol=6e-8)


@EXAMPLES
@given(cases(), st.integers(4, 7))
def test_labels_of_every_kind_are_mixed_alike(case, classes):
    """One-hot, soft, and multi-hot as numbers, integers and booleans; one head or several."""
    plan, n = case.plan(), len(case.x)
    matrix = torch.zeros(plan.num_rows, n, dtype=torch.float64)
    for r in range(plan.num_rows):
        for source, weight in zip(plan.source[r], plan.label_weight[r], strict=True):
            matrix[r, source] += weight.double()
    generator = torch.Generator().manual_seed(case.key)
    indices = torch.randint(classes, (n,), generator=generator)
    soft = torch.rand(n, classes, generator=generator).softmax(1)
    several = torch.rand(n, classes, generator=generator) > 0.5
    one_hot = torch.nn.functional.one_hot(indices, classes)
    heads = {"index": indices, "small": indices.to(torch.uint8), "one-hot": one_hot, "soft": soft}
    heads |= {"multi": several, "integer": several.long(), "number": several.double()}
    dense = heads | {"index": one_hot, "small": one_hot}
    for head, targets in plan.targets(heads).items():
        assert (targets.num_inputs, len(targets.labels)) == (n, plan.num_rows)
        expected = matrix @ dense[head].double()
        torch.testing.assert_close(targets.dense(classes).double(), expected, rtol=1e-6, atol=1e-6)


@EXAMPLES
@given(st.integers(0, 4).flatmap(policies))
def test_policies_survive_being_written_down(policy):
    written = policy.to_dict()
    for again in (written, json.loads(json.dumps(written)), yaml.safe_load(yaml.safe_dump(written))):
        read = policy_from_dict(again)
        assert read == policy and hash(read) == hash(policy) and read.to_dict() == written


def test_every_policy_is_drawn_here():
    """The strategy above covers the registry: a policy that joins it is to join the properties."""
    seen = set()

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(policies(2))
    def collect(policy):
        seen.add(policy.name)

    collect()
    assert seen == set(POLICIES)


@EXAMPLES
@given(cases())
def test_a_key_fixes_the_plan(case):
    first = case.plan()
    torch.rand(1)
    assert same_plans(first, case.plan())


def test_another_process_draws_the_same():
    command = "import sys; from drawn import draw_all; sys.stdout.write(draw_all(1, 2, 3, 4))"
    paths = [str(ROOT / "tests" / "helpers"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "17"}
    process = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout == draw_all(1, 2, 3, 4)
    others = {draw_all(*key) for key in [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0), (12, 3, 4)]}
    assert len(others) == 5 and process.stdout not in others


@EXAMPLES
@given(
    st.integers(1, 40), st.floats(0.01, 1), st.floats(0.1, 9), st.sampled_from(["mixup", "cutmix"]), st.booleans()
)
def test_regmixup_weighs_as_many_rows_as_it_says(n, ratio, eta, base, mean):
    policy = RegMixup(5.0, eta=eta, ratio=ratio, base=base, reduction="mean" if mean else "sum")
    plan = policy.sample(n, (3, 8, 8), keyed_generator(n))
    count = max(1, round(ratio * n))
    assert plan.num_rows == n + count and plan.num_inputs == n
    scale = 1 / (1 + eta) if mean else 1.0
    weights = plan.row_weight.double()
    assert weights[:n].sum().item() == pytest.approx(n * scale, rel=1e-5)
    assert weights[n:].sum().item() == pytest.approx(n * scale * eta, rel=1e-5)
    assert torch.equal(plan.source[:n, 0], torch.arange(n)) and (plan.weight[:n, 0] == 1).all()
    assert len(set(plan.source[n:, 0].tolist())) == count
    if mean:
        assert weights.sum().item() == pytest.approx(n, rel=1e-5)


@EXAMPLES
@given(cases(), st.integers(1, 6))
def test_masks_are_united_and_the_longest_length_stays(case, length):
    plan, n = case.plan(), len(case.x)
    generator = torch.Generator().manual_seed(case.key)
    lengths = torch.randint(1, length + 1, (n,), generator=generator)
    mask = torch.rand(n, length, generator=generator) > 0.5
    sources = [
        {i for i, w in zip(row, weight, strict=True) if w > 0}
        for row, weight in zip(plan.source.tolist(), plan.weight.tolist(), strict=True)
    ]
    united = [[any(mask[i, t].item() for i in of_row) for t in range(length)] for of_row in sources]
    longest = [max(lengths[i].item() for i in of_row) for of_row in sources]
    batch = {"attention_mask": mask.long(), "pixel_mask": mask, "lengths": lengths, "values": case.x}
    mixed = plan.apply(batch)
    assert mixed["attention_mask"].tolist() == [[int(real) for real in row] for row in united]
    assert mixed["pixel_mask"].tolist() == united and mixed["lengths"].tolist() == longest
    assert_reference(mixed["values"], case.x, plan)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_class_ids_do_not_pass_through_the_dtype_of_the_images(dtype):
    ids, images = torch.tensor([257, 999, 2049, 4097]), torch.ones(4, 3, 2, 2, dtype=dtype)
    for policy in (ERM(), Mixup(granularity="example"), RegMixup()):
        plan = policy.sample(4, generator=keyed_generator(5))
        targets = plan.targets(ids)
        assert plan.apply(images).dtype == dtype
        assert torch.equal(targets.labels, ids[plan.source]) and targets.label_weight.dtype == torch.float32
        dense = targets.dense(5000)
        assert set(dense.nonzero()[:, 1].tolist()) == set(ids.tolist())
        torch.testing.assert_close(dense.sum(1), torch.ones(plan.num_rows))
