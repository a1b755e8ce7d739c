"""Options that a mixed loss does not go with are refused in one line; the rest is passed on."""

import pytest
import torch
from accelerate import ParallelismConfig
from tiny import Pictures, tiny_trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset
from transformers import TrainingArguments, ViTImageProcessor, Wav2Vec2FeatureExtractor
from zoo import ZOO, trainer_of

from hfmix import ERM, ManifoldMixup, MixTrainer, RegMixup
from hfmix.recipe import parse
from hfmix.training.checks import check_options
from hfmix.utils.errors import UsageError

ANIMALS = {animal.name: animal for animal in ZOO}
VIT, SPEECH = ANIMALS["ViT"], ANIMALS["Wav2Vec2 (mask)"]


def refused(match, build, kind=ValueError):
    with pytest.raises(kind, match=match) as refusal:
        build()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"fsdp": True}, "FSDP is asked for, but this is a CPU"),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, "deepspeed is asked for but not installed|a CPU"),
        ({"use_liger_kernel": True}, "use_liger_kernel replaces the losses of language models"),
        ({"parallelism_config": ParallelismConfig(tp_size=1)}, "parallelism_config splits a batch's inputs"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_by_the_arguments(tmp_path, settings, match):
    refused(match, lambda: tiny_trainer(tmp_path, **settings))


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_the_launchers_wish_is_refused_on_a_cpu(tmp_path, monkeypatch, name):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    refused("is asked for", lambda: tiny_trainer(tmp_path))
    options = ["--model_name_or_path", "test_vit", "--dataset_name", "digits", "--output_dir", str(tmp_path)]
    refused("is asked for", lambda: parse([*options, "--use_cpu", "true"]), UsageError)
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "false")
    tiny_trainer(tmp_path)


def test_arguments_of_the_stock_class_are_checked_too(tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True, use_liger_kernel=True, report_to="none")
    refused("use_liger_kernel", lambda: MixTrainer(model=VIT.build(), args=args))
    args.use_liger_kernel, args._n_gpu = False, 2
    refused("2 GPUs in one process", lambda: MixTrainer(model=VIT.build(), args=args))
    args._n_gpu = 1
    check_options(MixTrainer(model=VIT.build(), args=args).args)


class Stream(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return (self.data[i] for i in range(len(self.data)))


def test_batches_that_evaluation_would_miscount(tmp_path, monkeypatch):
    def build(**config):
        args = tiny_trainer(tmp_path, accelerator_config=config).args
        return MixTrainer(model=VIT.build(), args=args, eval_dataset=Stream(Pictures()))

    refused("dispatch_batches false, and eval_dataset is a stream", lambda: build(dispatch_batches=False))
    build(split_batches=True)
    monkeypatch.setattr("hfmix.MixTrainingArguments.world_size", 2)
    refused("split_batches, with which evaluation", lambda: build(split_batches=True))
    refused("no even_batches", lambda: build(even_batches=False))


def test_noise_goes_with_nets_that_name_their_embeddings(tmp_path):
    refused(
        "neftune_noise_alpha adds noise to .* Wav2Vec2ForSequenceClassification has none",
        lambda: trainer_of(SPEECH, tmp_path, 6, ERM(), neftune_noise_alpha=5.0),
    )
    losses = []
    for alpha in (None, 5.0):
        trainer = trainer_of(VIT, tmp_path, 6, RegMixup(20.0), neftune_noise_alpha=alpha, max_steps=1)
        clean = trainer.evaluate()["eval_loss"]
        losses.append((trainer.train().training_loss, clean))
    assert losses[0][0] != losses[1][0] and losses[0][1] == losses[1][1]


@pytest.mark.parametrize(
    ("animal", "strategy", "processor"),
    [
        (SPEECH, "group_by_length", Wav2Vec2FeatureExtractor()),
        (SPEECH, "batch_rebalance", Wav2Vec2FeatureExtractor()),
        (VIT, "group_by_length", ViTImageProcessor()),
    ],
    ids=str,
)
@pytest.mark.parametrize("policy", [RegMixup(20.0, ratio=0.25), ManifoldMixup(1.0, layers=("layers.0",))], ids=str)
def test_each_example_counts_once_however_it_is_sampled(tmp_path, animal, strategy, processor, policy):
    """The examples of two epochs, in batches of the strategy's own sizes."""
    settings = {"train_sampling_strategy": strategy, "max_steps": -1, "num_train_epochs": 2}
    trainer, seen = trainer_of(animal, tmp_path, 9, policy, per_device_train_batch_size=4, **settings), []
    trainer.processing_class, trainer.data_collator = processor, trainer.data_collator
    step = trainer.training_step

    def record(model, inputs, num_items_in_batch=None):
        assert num_items_in_batch == len(inputs["labels"])
        seen.extend(row.sum().item() for row in inputs[animal.input_name])
        return step(model, inputs, num_items_in_batch)

    trainer.training_step = record
    trainer.train()
    assert sorted(seen) == sorted([row.sum().item() for row in animal.make(9).x] * 2)


@pytest.mark.parametrize("drop", [False, True])
def test_an_incomplete_batch_is_dropped_if_asked(tmp_path, drop):
    trainer = trainer_of(
        VIT,
        tmp_path,
        10,
        RegMixup(20.0),
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        dataloader_drop_last=drop,
        max_steps=-1,
        num_train_epochs=1,
    )
    trainer.train()
    assert trainer.state.global_step == (2 if drop else 3)
    x, y = trainer.eval_dataset.x, trainer.eval_dataset.y
    counted = 8 if drop else 10  # the stock Trainer drops it in evaluation too
    with torch.no_grad():
        expected = F.cross_entropy(trainer.model.eval()(x[:counted]).logits, y[:counted]).item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


class Plain(nn.Module):
    """A net of the user's own, without a config, whose forward knows no labels."""

    def __init__(self, output):
        super().__init__()
        torch.manual_seed(0)
        self.head, self.output = nn.Linear(3 * 16 * 16, 4), output

    def forward(self, pixel_values):
        return self.output(self.head(pixel_values.flatten(1)))


@pytest.mark.parametrize(
    "output", [lambda z: z, lambda z: (z,), lambda z: (z, z.new_zeros(1)), lambda z: {"logits": z}]
)
def test_a_net_of_ones_own_may_return_what_it_likes(tmp_path, output):
    data = Pictures()
    args = tiny_trainer(tmp_path, mix="regmixup", label_smoothing_factor=0.2, max_steps=2).args
    args.per_device_eval_batch_size = 3
    seen = {}

    def metrics(prediction):
        seen.update(logits=prediction.predictions, labels=prediction.label_ids)
        return {}

    trainer = MixTrainer(
        model=Plain(output), args=args, train_dataset=data, eval_dataset=data, compute_metrics=metrics
    )
    assert args.label_smoothing_factor == 0.2 and trainer.label_smoother is None
    trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    with torch.no_grad():
        logits = trainer.model.head(data.x.flatten(1))
    assert loss == pytest.approx(F.cross_entropy(logits, data.y).item(), rel=1e-5)
    torch.testing.assert_close(torch.as_tensor(seen["logits"]), logits)
    assert seen["labels"].tolist() == data.y.tolist()
