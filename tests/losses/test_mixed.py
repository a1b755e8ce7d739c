"""The sparse losses equal the dense ones in value and gradient, and values computed by hand."""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from torch._dynamo.backends.debugging import aot_eager
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from hfmix import ERM, Mixup, RegMixup, mixed_binary_cross_entropy, mixed_cross_entropy
from hfmix.losses import blockwise as row_losses
from hfmix.mixing import MixedTargets, keyed_generator

LOGITS = torch.tensor([[-1000.0, 1000.0], [100.0, -100.0]])


@contextmanager
def small_blocks(elements: int | None) -> Iterator[None]:
    """Sends even tiny logits through blocks of so many elements; None: as they would go."""
    with pytest.MonkeyPatch.context() as patch:
        if elements is not None:
            patch.setattr(row_losses, "SMALL", 0)
            patch.setattr(row_losses, "CPU_BLOCK", elements)
        yield


def hard(row_weight=(1.0, 1.0)) -> MixedTargets:
    return MixedTargets(torch.tensor([[0], [1]]), torch.ones(2, 1), torch.tensor(row_weight), 2)


@pytest.mark.parametrize(
    ("row_weight", "class_weight", "expected"),
    [((1, 1), None, 1100), ((0.6, 0.4), None, 640), ((1, 1), (0.3, 0.7), 370), ((0.6, 0.4), (0.3, 0.7), 208)],
)
@pytest.mark.parametrize("soft", [False, True])
def test_values_worked_out_by_hand(row_weight, class_weight, expected, soft):
    targets = hard(row_weight)
    if soft:
        targets = MixedTargets(torch.eye(2).unsqueeze(1), torch.ones(2, 1), targets.row_weight, 2)
    weight = None if class_weight is None else torch.tensor(class_weight)
    assert mixed_cross_entropy(LOGITS, targets, weight=weight).item() == pytest.approx(expected)


BCE_LOGITS = torch.tensor([[-200.0, 100.0], [500.0, -1000.0], [300.0, -300.0]])


@pytest.mark.parametrize(
    ("row_weight", "class_weight", "expected"),
    [
        ((1, 1, 1), None, 300),
        ((0.6, 0.4, 0.5), None, 130),
        ((1, 1, 1), (0.1, 0.9), 176.667),
        ((0.6, 0.4, 0.5), (0.1, 0.9), 74.333),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_binary_values_worked_out_by_hand(row_weight, class_weight, expected, soft):
    index = torch.tensor([[0], [1], [0]])
    labels = F.one_hot(index, 2).float() if soft else index
    targets = MixedTargets(labels, torch.ones(3, 1), torch.tensor(row_weight), 3)
    weight = None if class_weight is None else torch.tensor(class_weight)
    loss = mixed_binary_cross_entropy(BCE_LOGITS, targets, weight=weight)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_multi_hot_rows_worked_out_by_hand():
    """Rows [1, 1] and [0, 0] mixed half and half: softplus(z) - z / 2 in each class, here at z = 40 and -8."""
    labels = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    targets = MixedTargets(labels, torch.tensor([[0.5, 0.5]]), torch.ones(1), 1)
    loss = mixed_binary_cross_entropy(torch.tensor([[40.0, -8.0]]), targets)
    assert loss.item() == pytest.approx((20 + 4 + math.log1p(math.exp(-8))) / 2, rel=1e-6)


def dense_loss(kind, z, targets, weight, pos_weight, smoothing):
    """The same loss from torch's own functions and the (R, C) target."""
    target = targets.dense(z.shape[1]).to(z.dtype) * (1 - smoothing) + smoothing / z.shape[1]
    if kind == "ce":
        rows = F.cross_entropy(z, target, weight=weight, reduction="none")
    else:
        rows = F.binary_cross_entropy_with_logits(z, target, weight, pos_weight=pos_weight, reduction="none").mean(
            1
        )
    return (targets.row_weight * rows).sum() / targets.num_inputs


def sparse_loss(kind, z, targets, weight, pos_weight, smoothing):
    if kind == "ce":
        return mixed_cross_entropy(z, targets, weight=weight, label_smoothing=smoothing)
    return mixed_binary_cross_entropy(z, targets, weight=weight, pos_weight=pos_weight, label_smoothing=smoothing)


def value_and_gradient(function, kind, logits, *arguments):
    z = logits.clone().requires_grad_()
    loss = function(kind, z, *arguments)
    loss.backward()
    return loss.detach(), z.grad


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["ce", "bce"]),
    rows=st.integers(1, 9),
    classes=st.integers(1, 12),
    k=st.integers(1, 4),
    seed=st.integers(0, 2**16),
    one_class=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    weighted=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    block=st.sampled_from([None, 1, 16, 30]),
)
def test_sparse_equals_dense_in_value_and_gradient(
    kind, rows, classes, k, seed, one_class, smoothing, weighted, dtype, block
):
    """Whatever the block, and where all sources of a row are of one class too."""
    g = torch.Generator().manual_seed(seed)
    label_weight = torch.rand(rows, k, generator=g)
    labels = torch.randint(1 if one_class else classes, (rows, k), generator=g)
    row_weight = torch.rand(rows, generator=g)
    targets = MixedTargets(labels, label_weight / label_weight.sum(1, keepdim=True), row_weight, rows)
    logits = (3 * torch.randn(rows, classes, generator=g)).to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    weight, pos_weight = (torch.rand(2, classes, generator=g) + 0.5).to(wide) if weighted else (None, None)
    arguments = targets, weight, pos_weight, smoothing
    with small_blocks(block):
        loss, gradient = value_and_gradient(sparse_loss, kind, logits, *arguments)
    expected, expected_gradient = value_and_gradient(dense_loss, kind, logits.to(wide), *arguments)
    assert loss.dtype == wide and gradient.dtype == dtype
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    if dtype == wide:
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-6)
    else:  # rounded once, from float32
        unit = torch.finfo(dtype).eps
        torch.testing.assert_close(gradient.to(wide), expected_gradient, rtol=unit, atol=unit * 1e-3)


@pytest.mark.parametrize("policy", [ERM(), Mixup(1.0), RegMixup(20.0), RegMixup(1.0, eta=2.0, reduction="sum")])
@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("soft", [False, True])
def test_policies_give_the_dense_loss(policy, kind, soft):
    plan, labels = policy.sample(7, generator=keyed_generator(0)), torch.randint(11, (7,))
    targets = plan.targets(torch.rand(7, 11).softmax(1) if soft else labels)
    arguments = torch.randn(plan.num_rows, 11), targets, torch.rand(11), torch.rand(11), 0.1
    ours, theirs = (value_and_gradient(f, kind, *arguments) for f in (sparse_loss, dense_loss))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_timm_computes_the_same():
    plan, logits = Mixup(1.0).sample(6, generator=keyed_generator(1)), torch.randn(6, 5)
    targets = plan.targets(torch.arange(6) % 5)
    dense = targets.dense(5)
    torch.testing.assert_close(mixed_cross_entropy(logits, targets), SoftTargetCrossEntropy()(logits, dense))
    theirs = BinaryCrossEntropy(smoothing=0.0, pos_weight=torch.full((5,), 3.0))(logits, dense)
    torch.testing.assert_close(
        mixed_binary_cross_entropy(logits, targets, pos_weight=torch.full((5,), 3.0)), theirs
    )
    plain = ERM().sample(6).targets(torch.arange(6) % 5)
    theirs = BinaryCrossEntropy(smoothing=0.1)(logits, torch.arange(6) % 5)
    torch.testing.assert_close(mixed_binary_cross_entropy(logits, plain, label_smoothing=0.1), theirs)


@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("block", [None, 8])
def test_first_and_second_derivatives(kind, block):
    targets = RegMixup(1.0).sample(3, generator=keyed_generator(2)).targets(torch.tensor([0, 3, 3]))
    weight, pos_weight = torch.rand(2, 4, dtype=torch.float64) + 0.5
    z = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)

    def loss(z):
        return sparse_loss(kind, z, targets, weight, pos_weight, 0.2)

    with small_blocks(block):
        assert torch.autograd.gradcheck(loss, z)
        assert torch.autograd.gradgradcheck(loss, z)


def test_regmixup_is_half_clean_half_mixed():
    """The official code: CE over the clean batch and over the mixed batch, averaged over the 2N rows."""
    x, labels, net = torch.randn(5, 8), torch.randint(3, (5,)), torch.nn.Linear(8, 3)
    plan = RegMixup(20.0).sample(5, generator=keyed_generator(4))
    lam, partner = plan.weight[5, 0], plan.source[5:, 1]
    mixed = lam * x + (1 - lam) * x[partner]
    clean_loss = F.cross_entropy(net(x), labels)
    mixed_logits = net(mixed)
    mixed_loss = lam * F.cross_entropy(mixed_logits, labels) + (1 - lam) * F.cross_entropy(
        mixed_logits, labels[partner]
    )
    ours = mixed_cross_entropy(net(plan.apply(x)), plan.targets(labels))
    torch.testing.assert_close(ours, (clean_loss + mixed_loss) / 2)


def test_reductions():
    plan, logits = RegMixup(eta=3.0).sample(4), torch.randn(8, 5)
    targets = plan.targets(torch.arange(4))
    rows = mixed_cross_entropy(logits, targets, reduction="none")
    assert rows.shape == (8,)
    total = mixed_cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(total, (plan.row_weight * rows).sum())
    torch.testing.assert_close(mixed_cross_entropy(logits, targets), total / 4)


@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("block", [None, 2])
def test_large_logits_stay_finite(kind, dtype, autocast, block):
    """The wrong class leads by 20000, which is the loss; in full precision under autocast too."""
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=dtype, requires_grad=True)
    wrong = MixedTargets(torch.tensor([[1], [0]]), torch.ones(2, 1), torch.ones(2), 2)
    with small_blocks(block), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = sparse_loss(kind, logits, wrong, None, None, 0.1)
    loss.backward()
    big = logits[0, 0].item()  # 1e4 as the dtype has it
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.95 * (2 * big if kind == "ce" else big), rel=1e-6)
    scale = 0.95 / 2 if kind == "ce" else 0.95 / 4
    expected = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) * scale
    torch.testing.assert_close(logits.grad.float(), expected, rtol=5e-3, atol=0)


def test_float64_knows_more_than_that_softplus_is_almost_linear():
    loss = mixed_binary_cross_entropy(torch.tensor([[25.0]], dtype=torch.float64), index(0))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-25)), rel=1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_gpu_computes_the_same_without_waiting(kind, autocast):
    targets = RegMixup(1.0).sample(400).targets(torch.randint(1000, (400,)))
    logits, weight = torch.randn(800, 1000), torch.rand(1000)
    expected = value_and_gradient(sparse_loss, kind, logits, targets, weight, weight, 0.1)
    moved = {name: getattr(targets, name).cuda() for name in ("labels", "label_weight", "row_weight")}
    there, logits, weight = MixedTargets(**moved, num_inputs=400), logits.cuda(), weight.cuda()
    with torch.autocast("cuda", torch.float16, enabled=autocast):
        torch.cuda.set_sync_debug_mode("error")
        try:
            ours = value_and_gradient(sparse_loss, kind, logits, there, weight, weight, 0.1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close([t.cpu() for t in ours], list(expected))


def test_autocast_changes_nothing():
    targets = Mixup(1.0).sample(8).targets(torch.randint(50, (8,)))
    logits, weight = torch.randn(8, 50), torch.rand(50)
    for kind in ("ce", "bce"):
        plain = value_and_gradient(sparse_loss, kind, logits, targets, weight, None, 0.1)
        for block in (None, 100):
            with small_blocks(block), torch.autocast("cpu", torch.bfloat16):
                mixed = value_and_gradient(sparse_loss, kind, logits, targets, weight, None, 0.1)
            torch.testing.assert_close(mixed, plain)


def test_targets_and_weights_are_constants():
    label_weight, weight = torch.ones(2, 1, requires_grad=True), torch.ones(2, requires_grad=True)
    targets = MixedTargets(torch.tensor([[0], [1]]), label_weight, torch.ones(2), 2)
    logits = LOGITS.clone().requires_grad_()
    for block in (None, 2):
        with small_blocks(block):
            mixed_cross_entropy(logits, targets, weight=weight).backward()
    assert label_weight.grad is None and weight.grad is None and logits.grad is not None


def test_without_gradients_nothing_is_recorded():
    with torch.no_grad(), small_blocks(2):
        loss = mixed_cross_entropy(LOGITS.clone().requires_grad_(), hard())
    assert loss.item() == pytest.approx(1100) and not loss.requires_grad


@pytest.mark.parametrize("kind", ["ce", "bce"])
def test_compiles_once_into_one_graph(kind):
    """In plain operations, for the compiler to fuse, however large the logits are."""
    torch.compiler.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append({node.target for node in graph.graph.nodes})
        return aot_eager(graph, inputs)

    compiled = torch.compile(sparse_loss, fullgraph=True, backend=backend)
    weight, pos_weight = torch.rand(2, 9) + 0.5
    for i in range(4):
        targets = Mixup(1.0).sample(6, generator=keyed_generator(i)).targets(torch.randint(9, (6,)))
        arguments = torch.randn(6, 9), targets, weight, pos_weight, 0.1
        with small_blocks(8):
            ours, eager = (value_and_gradient(f, kind, *arguments) for f in (compiled, sparse_loss))
        torch.testing.assert_close(ours, eager)
    assert len(graphs) == 1
    assert graphs[0] >= {"gather", torch.mv}


def peak_memory(step: Callable[[], object]) -> int:
    """The most bytes that lay allocated at one moment of `step`, beyond those from before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert events, "the profiler recorded no allocation"
    return max(itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda event: event.start_ns())))


@pytest.mark.parametrize("kind", ["ce", "bce"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_little_more_than_the_gradient(kind, dtype):
    rows, classes = 256, 4000
    logits = torch.randn(rows, classes).to(dtype).requires_grad_()
    targets = Mixup(1.0).sample(rows).targets(torch.randint(classes, (rows,)))
    size, weight = logits.numel() * logits.element_size(), torch.rand(classes)
    with small_blocks(2**15):
        ours = peak_memory(lambda: sparse_loss(kind, logits, targets, weight, None, 0.1).backward())
    logits.grad = None
    dense = peak_memory(lambda: dense_loss(kind, logits.float(), targets, weight, None, 0.1).backward())
    assert size <= ours <= 1.2 * size + 200_000
    assert dense > 3 * size  # so the measure sees what a dense target costs


def soft(*rows, dtype=torch.float32) -> MixedTargets:
    n = len(rows)
    return MixedTargets(torch.tensor(rows, dtype=dtype).unsqueeze(1), torch.ones(n, 1), torch.ones(n), n)


def index(*labels) -> MixedTargets:
    n = len(labels)
    return MixedTargets(torch.tensor(labels).unsqueeze(1), torch.ones(n, 1), torch.ones(n), n)


BOTH = [mixed_cross_entropy, mixed_binary_cross_entropy]
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("loss", BOTH)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"logits": torch.zeros(3, 2)}, ValueError, "logits are (2, classes) for these targets, not (3, 2)"),
        ({"logits": torch.zeros(2)}, ValueError, "logits are (2, classes) for these targets, not (2,)"),
        ({"logits": torch.zeros(2, 2).long()}, TypeError, "logits are floating point, not torch.int64"),
        (
            {"targets": torch.zeros(2)},
            TypeError,
            "targets are MixedTargets, from plan.targets(labels), not Tensor",
        ),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing lies in [0, 1], not 1.5"),
        ({"label_smoothing": NAN}, ValueError, "label_smoothing lies in [0, 1], not nan"),
        ({"weight": torch.ones(3)}, ValueError, "weight is (2,) for these logits, not (3,)"),
        ({"weight": torch.tensor([1.0, -2.0])}, ValueError, "weight (2,) has the entry -2.0"),
        ({"weight": torch.tensor([1.0, NAN])}, ValueError, "weight (2,) has the entry nan"),
        ({"weight": torch.tensor([INF, 0.0])}, ValueError, "weight (2,) has the entry inf"),
        ({"weight": [1.0, 1.0]}, TypeError, "weight is a tensor with one entry a class, not list"),
        ({"reduction": "avg"}, ValueError, "reduction is 'mean', 'sum' or 'none', not 'avg'"),
        ({"targets": index(0, 2)}, ValueError, "label 2 lies outside the 2 classes"),
        ({"targets": index(-100, 1)}, ValueError, "label -100 lies outside the 2 classes"),
        ({"targets": soft([1.0, 0, 0], [1.0, 0, 0])}, ValueError, "soft labels have 3 classes, expected 2"),
        ({"targets": soft([1.0, NAN], [1.0, 0])}, ValueError, "labels (2, 1, 2) hold nan"),
    ],
)
def test_bad_arguments_are_named(loss, arguments, error, message):
    with pytest.raises(error) as raised:
        loss(**{"logits": LOGITS, "targets": hard(), **arguments})
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (
            BOTH[0],
            {"targets": soft([1.0, 0], [1.0, 1])},
            "sum to 2 in row 1, a cross-entropy takes 1: for multi-hot",
        ),
        (BOTH[0], {"targets": soft([1.0, 0], [0.0, 0])}, "sum to 0 in row 1"),
        (BOTH[0], {"targets": soft([1.002, 0], [0.0, 1])}, "sum to 1.002 in row 0"),
        (BOTH[0], {"targets": soft([1.5, -0.5], [0.0, 1])}, "not negative, labels (2, 1, 2) hold -0.5"),
        (BOTH[1], {"targets": soft([1.5, 0], [0.0, 1])}, "lie in [0, 1], labels (2, 1, 2) hold 1.5"),
        (BOTH[1], {"pos_weight": torch.ones(1)}, "pos_weight is (2,) for these logits, not (1,)"),
        (BOTH[1], {"pos_weight": -torch.ones(2)}, "pos_weight (2,) has the entry -1.0"),
    ],
)
def test_what_only_one_loss_refuses(loss, arguments, message):
    with pytest.raises(ValueError) as raised:
        loss(**{"logits": LOGITS, "targets": hard(), **arguments})
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_sums_may_be_off_by_what_the_dtype_rounds():
    uniform = soft([0.996, 0.0], [0.0, 1.0], dtype=torch.bfloat16)
    assert torch.isfinite(mixed_cross_entropy(LOGITS, uniform))
    with pytest.raises(ValueError, match="cross-entropy takes 1"):
        mixed_cross_entropy(LOGITS, soft([0.996, 0.0], [0.0, 1.0]))
