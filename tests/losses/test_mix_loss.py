"""MixLoss gives a stock Trainer the loss of mixed batches on one scale, whatever the accumulation."""

from typing import Any

import pytest
import torch
from tiny import Pictures
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import ImageClassifierOutput

from hfmix import MixLoss, Mixup, RegMixup, load_backbone, mixed_binary_cross_entropy, mixed_cross_entropy
from hfmix.mixing import keyed_generator

N, CLASSES = 6, 4
LABELS = torch.tensor([0, 1, 2, 3, 3, 0])


def mixed():
    plan = RegMixup(1.0, eta=2.0).sample(N, generator=keyed_generator(0))
    return torch.randn(plan.num_rows, CLASSES, requires_grad=True), plan.targets(LABELS)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: z,
        lambda z: (z, "hidden states"),
        lambda z: {"loss": None, "logits": z},
        lambda z: ImageClassifierOutput(logits=z),
    ],
)
def test_it_finds_the_logits(wrap):
    logits, targets = mixed()
    torch.testing.assert_close(MixLoss()(wrap(logits), targets), mixed_cross_entropy(logits, targets))


def test_it_is_the_sum_over_what_the_trainer_counted():
    logits, targets = mixed()
    total = mixed_cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(MixLoss()(logits, targets), total / N)
    for count in (10, torch.tensor(10), torch.tensor(10.0)):
        torch.testing.assert_close(MixLoss()(logits, targets, num_items_in_batch=count), total / 10)
    # as the Trainer hands it over for two GPUs of nn.DataParallel, to multiply the loss by two afterwards
    twice = torch.tensor(10).unsqueeze(0).expand(2, -1)
    torch.testing.assert_close(2 * MixLoss()(logits, targets, num_items_in_batch=twice), total / 10)


def test_settings_reach_the_loss():
    logits, targets = mixed()
    weight, pos_weight = torch.rand(CLASSES), torch.rand(CLASSES)
    loss = MixLoss(weight=weight, label_smoothing=0.2)
    expected = mixed_cross_entropy(logits, targets, weight=weight, label_smoothing=0.2)
    torch.testing.assert_close(loss(logits, targets), expected)
    settings = {"weight": weight, "pos_weight": pos_weight, "label_smoothing": 0.2}
    torch.testing.assert_close(
        MixLoss("binary_cross_entropy", **settings)(logits, targets),
        mixed_binary_cross_entropy(logits, targets, **settings),
    )


@pytest.mark.parametrize("soft", [False, True])
def test_plain_labels_are_smoothed_in_training_only(soft):
    loss = MixLoss(label_smoothing=0.3, weight=torch.arange(1.0, 5.0))
    logits = torch.randn(N, CLASSES, requires_grad=True)
    one_hot = F.one_hot(LABELS, CLASSES).float()
    labels = one_hot if soft else LABELS
    counted = labels.ne(-100).sum()  # N, or N times the classes
    for smoothing, z in ((0.3, logits), (0.0, logits.detach())):
        rows = F.cross_entropy(z, one_hot, loss.weight, label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(loss(z, labels), rows.mean())
        torch.testing.assert_close(loss(z, labels, num_items_in_batch=counted), rows.mean())


def test_a_mixed_batch_in_evaluation_is_refused():
    logits, targets = mixed()
    with pytest.raises(RuntimeError) as raised:
        MixLoss()(logits.detach(), targets)
    message = str(raised.value)
    assert "callbacks=[collator]" in message and "collator.mixing = False" in message and "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "ce"}, ValueError, "kind is 'cross_entropy' or 'binary_cross_entropy', not 'ce'"),
        ({"pos_weight": torch.ones(4)}, ValueError, "pos_weight belongs to kind='binary_cross_entropy'"),
        ({"label_smoothing": -0.1}, ValueError, "label_smoothing lies in [0, 1], not -0.1"),
        ({"weight": [1.0]}, TypeError, "weight is a tensor with one entry a class, not list"),
        ({"weight": torch.ones(2, 2)}, ValueError, "weight is one-dimensional, one entry a class, not (2, 2)"),
        ({"weight": -torch.ones(2)}, ValueError, "weight (2,) has the entry -1.0"),
    ],
)
def test_bad_settings_are_named_at_construction(arguments, error, message):
    with pytest.raises(error) as raised:
        MixLoss(**arguments)
    assert message in str(raised.value)


def test_missing_logits_and_labels_are_named():
    logits, targets = mixed()
    with pytest.raises(ValueError, match="no 'logits', but last_hidden_state"):
        MixLoss()({"last_hidden_state": logits}, targets)
    with pytest.raises(ValueError, match="the batch has no `labels`"):
        MixLoss()(logits, None)


def stock_trainer(folder: Any, loss: MixLoss, batch_size: int, accumulation: int, one_hot: bool) -> Trainer:
    torch.manual_seed(0)
    model: nn.Module = load_backbone("test_vit", list("abcd"), pretrained=False, image_size=16)[0]

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        labels = torch.tensor([row["labels"] for row in rows])
        if one_hot:
            labels = F.one_hot(labels, CLASSES).float()
        return {"pixel_values": torch.stack([row["pixel_values"] for row in rows]), "labels": labels}

    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=5,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        report_to=[],
        use_cpu=True,
        logging_steps=1,
        train_sampling_strategy="sequential",
    )
    data = Pictures(10)
    return Trainer(model, args, collate, train_dataset=data, eval_dataset=data, compute_loss_func=loss)


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_stock_trainer_takes_it(tmp_path, one_hot):
    """Unmixed, with an uneven last micro-batch: the loss is that of the whole batch at once."""
    steps = {}
    for batch_size, accumulation in ((10, 1), (4, 3)):
        trainer = stock_trainer(tmp_path, MixLoss(label_smoothing=0.1), batch_size, accumulation, one_hot)
        data = Pictures(10)
        with torch.no_grad():
            logits = trainer.model.eval()(data.x).logits
        evaluated = trainer.evaluate()["eval_loss"]
        assert evaluated == pytest.approx(F.cross_entropy(logits, data.y).item(), rel=1e-5)
        trainer.train()
        entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
        expected = F.cross_entropy(logits, data.y, label_smoothing=0.1).item()
        assert entry["loss"] == pytest.approx(expected, rel=1e-4)
        steps[batch_size] = entry["grad_norm"]
    assert steps[4] == pytest.approx(steps[10], rel=1e-4)


def test_weights_follow_the_logits_to_their_device():
    plan = Mixup(1.0).sample(N)
    loss = MixLoss(weight=torch.rand(CLASSES))
    logits = torch.randn(N, CLASSES, device="meta", requires_grad=True)
    assert loss(logits, plan.targets(LABELS)).device.type == "meta"
    assert loss.weight.device.type == "cpu"
