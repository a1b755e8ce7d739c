"""MixTrainer's loss: weights by name and balanced, of positives, and a loss of one's own, all under mixing."""

import datasets
import numpy as np
import pytest
import torch
from tiny import CLASSES, Pictures, tiny_arguments, tiny_model, weights
from torch.nn import functional as F
from torch.utils.data import Subset

from hfmix import MixTrainer, Mixup, RegMixup, mixed_cross_entropy
from hfmix.losses import FocalLoss, mixed_row_loss
from hfmix.mixing import keyed_generator
from hfmix.training.class_weights import read_weights, training_labels

N = 10
STEP = {"max_steps": 1, "per_device_train_batch_size": N, "train_sampling_strategy": "sequential"}


class Labelled(Pictures):
    """Pictures that tell their labels: 0 0 0 0 0 1 1 1 2 3."""

    def __init__(self, n=N):
        super().__init__(n)
        self.y = self.labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 3])[:n]


def trainer_of(folder, policy=None, data=None, model=None, row_loss=None, **arguments):
    args = tiny_arguments(folder, **{**STEP, **arguments})
    data = data or Labelled()
    return MixTrainer(
        model=model or tiny_model(),
        args=args,
        policy=policy,
        row_loss=row_loss,
        train_dataset=data,
        eval_dataset=data,
    )


def first_step(trainer, policy, data, loss):
    plan = policy.sample(N, (3, 16, 16), keyed_generator(42, 0, 0, 0), labels=data.y, inputs=data.x, progress=0.0)
    with torch.no_grad():
        return loss(trainer.model(plan.apply(data.x)).logits, plan.targets(data.y)).item()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("balanced", [10 / 20, 10 / 12, 10 / 4, 10 / 4]),
        (["balanced"], [10 / 20, 10 / 12, 10 / 4, 10 / 4]),
        ({"c": 2.5}, [1, 1, 2.5, 1]),
        (['{"c": 2.5, "a": 0}'], [0, 1, 2.5, 1]),
        (["1", "2", "3", "4.5"], [1, 2, 3, 4.5]),
        (np.array([1.0, 2, 3, 4]), [1, 2, 3, 4]),
    ],
)
def test_class_weights_in_all_their_forms_stay_exact_under_mixing(tmp_path, given, expected):
    policy, data = RegMixup(20.0), Labelled()
    trainer = trainer_of(tmp_path, policy, class_weights=given)
    assert trainer.row_losses.weights["class_weights"] == pytest.approx(dict(zip("abcd", expected, strict=True)))
    weight = torch.tensor(expected)
    value = first_step(trainer, policy, data, lambda z, t: mixed_cross_entropy(z, t, weight=weight))
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"class_weights": [1.0, 2.0]},
            "class_weights has 2 weights: the 4 classes are a, b, c and d, in this order",
        ),
        ({"class_weights": ["3"]}, "class_weights has 1 weight: the 4 classes"),
        (
            {"class_weights": {"e": 2}},
            "class_weights has a weight for 'e', which is no class: the 4 classes are a, b",
        ),
        ({"class_weights": {"a": -1}}, "class_weights are finite and not negative, not -1 for 'a'"),
        ({"class_weights": {"a": True}}, "not True for 'a'"),
        ({"class_weights": "balancd"}, 'class_weights is "balanced", a mapping such as'),
        ({"class_weights": ['{"a" 2}']}, "class_weights is not JSON"),
        ({"class_weights": ["1", "x", "2", "3"]}, "class_weights are finite and not negative, not 'x'"),
        (
            {"pos_weight": "balanced"},
            "pos_weight weighs the positives of a binary cross-entropy, and the loss is cross",
        ),
        ({"pos_weight": 2, "loss_kind": "focal"}, "and the loss is focal"),
        ({"loss_kind": "focal", "label_smoothing_factor": 0.1}, "loss_kind focal has no label smoothing"),
        ({"row_loss": FocalLoss(), "loss_kind": "focal"}, "row_loss is the whole loss, and loss_kind is focal"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(tmp_path, **settings)


def test_balanced_needs_every_class_and_the_labels(tmp_path):
    few = Labelled(9)
    with pytest.raises(ValueError, match=r"balanced: no example of class 3 \('d'\) in the training data"):
        trainer_of(tmp_path, data=few, class_weights="balanced")
    with pytest.raises(ValueError, match=r"balanced needs the labels .* Pictures does not have them"):
        trainer_of(tmp_path, data=Pictures(), class_weights="balanced")


def test_labels_are_found_without_reading_the_inputs():
    class Targets(torch.utils.data.Dataset):
        targets = (2, 0, 1)

        def __len__(self):
            return 3

        def __getitem__(self, i):
            raise AssertionError("an input was read")

    rows = datasets.Dataset.from_dict({"x": [[0.0]] * 3, "label": [2, 0, 1]})
    transformed = rows.with_transform(lambda batch: 1 / 0)
    for data in (Targets(), rows, transformed, rows.with_format("torch")):
        assert training_labels(data, "labels", "it").tolist() == [2, 0, 1]
        assert training_labels(Subset(data, [2, 1]), "labels", "it").tolist() == [1, 0]
    assert read_weights("w", "2", one_for_all=True) == 2.0 and read_weights("w", None) is None


@pytest.mark.parametrize("given", [3.0, ["3"], [1.0, 2.0, 3.0, 4.0], {"b": 5.0}, "balanced"])
def test_positives_are_weighed_under_mixing(tmp_path, given):
    data = Labelled()
    data.labels = data.y = (torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(2)) < 0.4).long()
    data.__class__ = type(
        "Hot", (Labelled,), {"__getitem__": lambda s, i: {"pixel_values": s.x[i], "labels": s.y[i]}}
    )
    model = tiny_model()
    model.config.problem_type = "multi_label_classification"
    trainer = trainer_of(tmp_path, Mixup(1.0), data, model, pos_weight=given)
    positives = data.y.sum(0)
    expected = {3.0: 3.0, "balanced": (N - positives) / positives}.get(
        given if isinstance(given, float | str) else 0
    )
    if expected is None:
        expected = {"b": [1, 5, 1, 1]}["b"] if isinstance(given, dict) else [float(w) for w in given]
    pos_weight = torch.as_tensor(expected, dtype=torch.float32).expand(CLASSES)
    assert list(trainer.row_losses.weights["pos_weight"].values()) == pytest.approx(pos_weight.tolist())

    def dense(logits, targets):
        return F.binary_cross_entropy_with_logits(logits, targets.dense(CLASSES), pos_weight=pos_weight)

    value = first_step(trainer, Mixup(1.0), data, dense)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(value, rel=1e-4)
    with pytest.raises(ValueError, match="loss_kind focal is for one class an example"):
        trainer_of(tmp_path, data=data, model=model, loss_kind="focal")
    with pytest.raises(ValueError, match="class_weights balanced weighs classes of which each example has one"):
        trainer_of(tmp_path, data=data, model=model, class_weights="balanced")


def test_focal_loss_and_a_loss_of_ones_own_train_alike(tmp_path):
    policy, data = RegMixup(20.0, eta=0.5), Labelled()
    focal = trainer_of(tmp_path, policy, loss_kind="focal", focal_gamma=1.5, class_weights="balanced")
    own = trainer_of(tmp_path, policy, row_loss=FocalLoss(1.5), class_weights="balanced")
    weight = torch.tensor(list(own.row_losses.weights["class_weights"].values()))
    value = first_step(own, policy, data, lambda z, t: mixed_row_loss(z, t, FocalLoss(1.5), weight=weight))
    for trainer in (focal, own):
        trainer.train()
        assert trainer.state.log_history[0]["loss"] == pytest.approx(value, rel=1e-4)
    assert torch.equal(weights(focal), weights(own))
    plain = FocalLoss(1.5)(tiny_model().eval()(data.x).logits, data.y)
    evaluated = trainer_of(tmp_path, policy, row_loss=FocalLoss(1.5)).evaluate()["eval_loss"]
    assert evaluated == pytest.approx(plain.mean().item(), rel=1e-5)


def test_accumulated_steps_of_a_focal_loss_are_one_large_step(tmp_path):
    """Without mixing, since plans are drawn a micro-batch."""
    settings = {"loss_kind": "focal", "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0}
    whole = trainer_of(tmp_path, **settings)
    parts = trainer_of(tmp_path, **settings, per_device_train_batch_size=4, gradient_accumulation_steps=3)
    before = weights(whole)
    whole.train()
    parts.train()
    step = weights(whole) - before
    assert (weights(parts) - before - step).norm() < 1e-4 * step.norm()
