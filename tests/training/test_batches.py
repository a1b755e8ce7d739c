"""Data of which no batch can be made, and batches that do not suit the model, each in one line."""

import datasets
import pytest
import torch
from tiny import Pictures, tiny_arguments, tiny_model
from torch import nn
from torch.utils.data import TensorDataset, default_collate
from transformers import Trainer, TrainingArguments

from hfmix import MixCollator, MixLoss, MixTrainer, Mixup


class Renamed(Pictures):
    """Pictures under other names."""

    def __init__(self, **names):
        super().__init__()
        self.names = names

    def __getitem__(self, i):
        return {self.names.get(name, name): value for name, value in super().__getitem__(i).items()}


class Plain(nn.Module):
    """A net without a config or a main input's name; it returns a tensor."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16 * 16, 4)

    def forward(self, x):
        return self.fc(x.flatten(1))


def trainer_of(folder, data=None, model=None, collate=None, **arguments):
    return MixTrainer(
        model=model or tiny_model(),
        args=tiny_arguments(folder, **{"max_steps": 2, **arguments}),
        policy=Mixup(1.0),
        train_dataset=data or Pictures(),
        data_collator=collate,
    )


def pairs():
    data = Pictures()
    return TensorDataset(data.x, data.y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"dataloader_drop_last": True, "per_device_train_batch_size": 16},
            "drops the only batch: .* 10 examples",
        ),
        (
            {"data": pairs()},
            r"examples are \(input, label\) pairs, .* \{\"pixel_values\": input, \"labels\": label\}",
        ),
        ({"data": pairs(), "model": Plain()}, r"\{\"x\": input, \"labels\": label\}"),
        ({"data": pairs(), "collate": default_collate}, r"the batches are \(input, label\) pairs"),
        (
            {"data": Renamed(pixel_values="image")},
            "the batch has no 'pixel_values', which TimmWrapper.*, only image",
        ),
        (
            {"data": Renamed(labels="target")},
            "the batch has no 'labels', only pixel_values, target: name the classes",
        ),
        ({"model": Plain()}, "Plain.forward takes x, and the batch has pixel_values: inputs are passed by name"),
        ({"data": Renamed(pixel_values="y"), "model": Plain()}, "the batch has no 'x', which Plain takes, only y"),
    ],
)
def test_what_cannot_be_fed_is_one_line(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        trainer_of(tmp_path, **settings).train()
    assert "\n" not in str(error.value)


def test_a_plain_net_that_returns_a_tensor_is_trained(tmp_path):
    model = Plain()
    before = model.fc.weight.detach().clone()
    trainer = trainer_of(tmp_path, Renamed(pixel_values="x"), model)
    trainer.train()
    assert (
        not torch.equal(model.fc.weight, before) and trainer.evaluate(Renamed(pixel_values="x"))["eval_loss"] > 0
    )


def test_columns_that_a_transform_needs_are_not_removed(tmp_path):
    rows = datasets.Dataset.from_dict({"image": [[0.5] * 768] * 6, "label": [0, 1, 2, 3, 0, 1]})
    data = rows.with_transform(
        lambda batch: {
            "pixel_values": [torch.tensor(x).view(3, 16, 16) for x in batch["image"]],
            "labels": batch["label"],
        }
    )
    trainer_of(tmp_path, data).train()
    with pytest.raises(ValueError, match="remove_unused_columns removes image before the data"):
        trainer_of(tmp_path, data, remove_unused_columns=True).train()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_stock_trainer_without_the_loss_of_mixed_rows_is_told_so(tmp_path, smoothing):
    args = TrainingArguments(
        str(tmp_path),
        use_cpu=True,
        max_steps=1,
        report_to="none",
        remove_unused_columns=False,
        save_strategy="no",
        label_smoothing_factor=smoothing,
    )
    collator = MixCollator(Mixup(1.0))
    settings = {"args": args, "train_dataset": Pictures(), "data_collator": collator, "callbacks": [collator]}
    with pytest.raises(AttributeError, match=r"labels of mixed rows, .* compute_loss_func=hfmix\.MixLoss\(\)"):
        Trainer(model=tiny_model(), **settings).train()
    Trainer(model=tiny_model(), **settings, compute_loss_func=MixLoss()).train()
