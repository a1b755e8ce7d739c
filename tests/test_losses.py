"""The sparse loss equals the dense one in value and gradient, and hand-computed values."""

import pytest
import torch
from torch.nn import functional as F

from hfmix import ERM, Mixup, RegMixup, mixed_cross_entropy
from hfmix.mixing import MixedTargets, keyed_generator

LOGITS = torch.tensor([[-1000.0, 1000.0], [100.0, -100.0]])


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


@pytest.mark.parametrize("policy", [ERM(), Mixup(1.0), RegMixup(20.0), RegMixup(1.0, eta=2.0, reduction="sum")])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_equals_dense_in_value_and_gradient(policy, smoothing, weighted):
    n, c = 7, 11
    torch.manual_seed(0)
    plan, labels = policy.sample(n, generator=keyed_generator(0)), torch.randint(c, (n,))
    targets = plan.targets(labels)
    weight = torch.rand(c) + 0.5 if weighted else None
    sparse_logits = torch.randn(plan.num_rows, c, requires_grad=True)
    dense_logits = sparse_logits.detach().clone().requires_grad_()
    sparse = mixed_cross_entropy(sparse_logits, targets, weight=weight, label_smoothing=smoothing)
    rows = F.cross_entropy(
        dense_logits, targets.dense(c), weight=weight, label_smoothing=smoothing, reduction="none"
    )
    dense = (plan.row_weight * rows).sum() / n
    sparse.backward()
    dense.backward()
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(sparse_logits.grad, dense_logits.grad, rtol=1e-6, atol=1e-6)


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


def test_large_logits_in_bfloat16_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], dtype=torch.bfloat16, requires_grad=True)
    loss = mixed_cross_entropy(logits, hard())
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": torch.zeros(3, 2)}, r"logits are (2, classes) for these targets, not (3, 2)"),
        ({"label_smoothing": 1.5}, "label_smoothing lies in [0, 1], not 1.5"),
        ({"weight": torch.ones(3)}, "weight is (2,) for these logits, not (3,)"),
        ({"reduction": "avg"}, "not 'avg'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        mixed_cross_entropy(**{"logits": LOGITS, "targets": hard(), **arguments})
    assert message in str(error.value)
