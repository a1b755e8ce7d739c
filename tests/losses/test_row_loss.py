"""A loss of one's own on mixed rows is the label-weighted sum; the focal loss is built on it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hfmix import CutMix, DirichletMixup, MixLoss, Mixup, RegMixup, mixed_binary_cross_entropy, mixed_cross_entropy
from hfmix.losses import FocalLoss, balanced_class_weights, balanced_pos_weight, mixed_row_loss

CLASSES = 5


def batch(policy, n=8, dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    labels = torch.randint(CLASSES, (n,), generator=g)
    plan = policy.sample(n, (3, 8, 8), g, labels=labels)
    logits = (3 * torch.randn(plan.num_rows, CLASSES, generator=g, dtype=dtype)).requires_grad_()
    return logits, plan.targets(labels)


def cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


POLICIES = [
    Mixup(1.0),
    RegMixup(20.0, eta=0.5),
    RegMixup(5.0, reduction="sum", ratio=0.5),
    DirichletMixup(3),
    CutMix(),
]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [cross_entropy, FocalLoss(0.0)], ids=["own", "focal 0"])
def test_cross_entropy_as_a_row_loss_is_the_mixed_cross_entropy(policy, weighted, loss):
    logits, targets = batch(policy)
    weight = torch.arange(1.0, CLASSES + 1, dtype=torch.float64) if weighted else None
    for reduction in ("mean", "sum", "none"):
        theirs = mixed_cross_entropy(logits, targets, weight=weight, reduction=reduction)
        ours = mixed_row_loss(logits, targets, loss, weight=weight, reduction=reduction)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        expected, found = (torch.autograd.grad(value.sum(), logits)[0] for value in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_mixed_row_is_the_weighted_sum_of_its_labels_losses(policy):
    logits, targets = batch(policy)
    rows = mixed_row_loss(logits, targets, FocalLoss(2.0), reduction="none")
    p = logits.softmax(1)
    for r in range(len(logits)):
        parts = [
            float(share) * -((1 - p[r, label]) ** 2) * p[r, label].log()
            for share, label in zip(targets.label_weight[r], targets.labels[r], strict=True)
        ]
        torch.testing.assert_close(rows[r], sum(parts))
    mean = mixed_row_loss(logits, targets, FocalLoss(2.0))
    torch.testing.assert_close(mean, (targets.row_weight.double() * rows).sum() / targets.num_inputs)


def test_soft_labels_are_averaged_and_certain_rows_have_gradients():
    logits, targets = batch(Mixup(1.0))
    labels = torch.eye(CLASSES, dtype=torch.float64)[targets.labels]
    soft = type(targets)(labels, targets.label_weight, targets.row_weight, targets.num_inputs)
    hard, found = (mixed_row_loss(logits, t, FocalLoss(1.5), reduction="none") for t in (targets, soft))
    torch.testing.assert_close(found, hard)
    certain = torch.tensor([[200.0, 0.0]], requires_grad=True)  # p is 1 in float32
    for gamma in (0.0, 0.3, 1.0, 2.0):
        for label in (0, 1):
            loss = FocalLoss(gamma)(certain, torch.tensor([label])).sum()
            assert torch.isfinite(torch.autograd.grad(loss, certain)[0]).all()


@pytest.mark.parametrize("policy", [Mixup(1.0), RegMixup(20.0, eta=0.5)], ids=str)
def test_mix_loss_takes_a_row_loss_in_the_same_scale(policy):
    logits, targets = batch(policy)
    expected = mixed_row_loss(logits, targets, FocalLoss(2.0))
    torch.testing.assert_close(MixLoss(row_loss=FocalLoss(2.0))(logits, targets), expected)
    accumulated = MixLoss(row_loss=FocalLoss(2.0))(logits, targets, num_items_in_batch=4 * targets.num_inputs)
    torch.testing.assert_close(accumulated, expected / 4)  # a quarter of an accumulated batch
    plain = torch.tensor([0, 1])
    torch.testing.assert_close(
        MixLoss(row_loss=cross_entropy)(logits[:2], plain), F.cross_entropy(logits[:2], plain)
    )


@pytest.mark.parametrize(
    ("row_loss", "error", "message"),
    [
        (F.cross_entropy, ValueError, r"row_loss returns \(\) for logits \(8, 5\), it has to be \(8,\)"),
        (lambda z, y: z.sum(), ValueError, "one loss a row"),
        (lambda z, y: z, ValueError, r"row_loss returns \(8, 5\)"),
        (lambda z, y: z.detach().sum(1), ValueError, "without a gradient"),
        (lambda z, y: 1.0, TypeError, "one loss a row, not float"),
    ],
)
def test_what_is_no_row_loss_is_refused(row_loss, error, message):
    logits, targets = batch(Mixup(1.0))
    with pytest.raises(error, match=message):
        mixed_row_loss(logits, targets, row_loss)


def test_settings_that_contradict_a_row_loss():
    for gamma in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="focal_gamma is a finite number from 0"):
            FocalLoss(gamma)
    for settings in ({"label_smoothing": 0.1}, {"kind": "binary_cross_entropy"}):
        with pytest.raises(ValueError, match="row_loss is the whole loss"):
            MixLoss(row_loss=cross_entropy, **settings)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert balanced_class_weights(labels, 3).tolist() == pytest.approx(expected.tolist())
    assert balanced_class_weights(torch.eye(3)[labels], 3).tolist() == pytest.approx(expected.tolist())
    with pytest.raises(ValueError, match="no example of class 3"):
        balanced_class_weights(labels, 4)
    hot = torch.tensor([[1, 0], [1, 1], [1, 0], [0, 1]])
    assert balanced_pos_weight(hot).tolist() == [1 / 3, 1.0]
    with pytest.raises(ValueError, match="no example with class 1"):
        balanced_pos_weight(hot[[0, 2]])


def test_one_number_weighs_the_positives_of_all_classes():
    g = torch.Generator().manual_seed(0)
    plan = Mixup(1.0).sample(6, (4,), g)
    hot = torch.randint(2, (6, CLASSES), generator=g)
    logits = torch.randn(6, CLASSES, generator=g)
    expected = F.binary_cross_entropy_with_logits(
        logits, plan.targets(hot).dense(CLASSES), pos_weight=torch.full((CLASSES,), 3.0)
    )
    for given in (3.0, 3, [3.0] * CLASSES, torch.tensor(3.0), torch.full((CLASSES,), 3.0)):
        loss = mixed_binary_cross_entropy(logits, plan.targets(hot), pos_weight=given)
        torch.testing.assert_close(loss, expected)
        mix_loss = MixLoss(kind="binary_cross_entropy", pos_weight=given)
        torch.testing.assert_close(mix_loss(logits.requires_grad_(), plan.targets(hot)), expected)
    with pytest.raises(ValueError, match=r"pos_weight is \(5,\) for these logits, not \(2,\)"):
        mixed_binary_cross_entropy(logits, plan.targets(hot), pos_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"has the entry -1\.0"):
        MixLoss(kind="binary_cross_entropy", pos_weight=-1)
