"""Faster training with the same result: memory layout, fused SGD, 16 bits on a CPU."""

import pytest
import torch
from pictures import pictures
from transformers import Trainer

from hfmix import MixTrainer, MixTrainingArguments, Mixup, load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.splits import as_labelled


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def trained(folder, trainer=MixTrainer, **arguments):
    """A net after six steps of mixup on thirty pictures, and the trainer."""
    torch.manual_seed(0)
    images = as_labelled(pictures())
    model, processor = load_backbone("resnet20_cifar", images.class_names, pretrained=False, image_size=32)
    augment = DataArguments("digits", train_crop="pad")
    settings = {"max_steps": 6, "per_device_train_batch_size": 10, "optim": "sgd", "learning_rate": 0.05}
    settings |= {"optim_args": "momentum=0.9", "report_to": "none", "save_strategy": "no", "use_cpu": True}
    args = MixTrainingArguments(str(folder), mix="mixup", **(settings | arguments))
    memory = InMemoryExamples(images, processor, augment, 0, channels_last=args.channels_last)
    own = {"policy": Mixup(1.0)} if trainer is MixTrainer else {}
    trainer = trainer(model=model, args=args, train_dataset=memory, data_collator=memory.collate, **own)
    trainer.train()
    return model, trainer


def distance(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs if a.is_floating_point())


def test_channels_last_changes_the_layout_and_not_the_result(tmp_path):
    plain, _ = trained(tmp_path / "plain")
    last, trainer = trained(tmp_path / "last", channels_last=True)
    weight = next(module.weight for module in last.modules() if isinstance(module, torch.nn.Conv2d))
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert distance(plain, last) < 2e-3  # float32 over six steps at rate .05; another seed is 100 times as far
    seen = []
    last.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    trainer.evaluate(trainer.train_dataset)
    assert seen and all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


def test_a_net_in_channels_last_is_saved_and_resumed_as_any(tmp_path):
    whole, _ = trained(tmp_path / "whole", channels_last=True)
    trained(tmp_path / "part", channels_last=True, save_strategy="steps", save_steps=3)
    model, trainer = trained(
        tmp_path / "part", channels_last=True, max_steps=6, save_strategy="steps", save_steps=3
    )
    trainer.train(resume_from_checkpoint=str(tmp_path / "part" / "checkpoint-3"))
    assert distance(whole, model) == 0.0
    trainer.save_model(str(tmp_path / "saved"))
    saved = type(model).from_pretrained(tmp_path / "saved")
    assert distance(model, saved) == 0.0


def test_sgd_is_fused_and_the_same(tmp_path):
    ours, trainer = trained(tmp_path / "ours")
    assert trainer.optimizer.param_groups[0]["fused"] is True

    class Plain(MixTrainer):
        get_optimizer_cls_and_kwargs = staticmethod(Trainer.get_optimizer_cls_and_kwargs)

        def __init__(self, **settings):
            super().__init__(**settings, policy=Mixup(1.0))

    theirs, plain = trained(tmp_path / "theirs", Plain)
    assert not plain.optimizer.param_groups[0].get("fused")
    assert distance(ours, theirs) < 1e-4


def test_the_gradients_norm_is_logged_without_writing_them(tmp_path):
    class Stock(MixTrainer):
        _get_grad_norm = Trainer._get_grad_norm

        def __init__(self, **settings):
            super().__init__(**settings, policy=Mixup(1.0))

    _, ours = trained(tmp_path / "ours", max_grad_norm=0, logging_steps=1)
    _, stock = trained(tmp_path / "stock", Stock, max_grad_norm=0, logging_steps=1)
    norms = [[line["grad_norm"] for line in each.state.log_history[:6]] for each in (ours, stock)]
    assert len(norms[0]) == 6 and norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert ours.args.logging_nan_inf_filter is False


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator, which is used")
def test_bf16_trains_on_a_machine_without_accelerator(tmp_path):
    model, trainer = trained(tmp_path, bf16=True, use_cpu=False)
    assert trainer.args.device.type == "cpu" and trainer.accelerator.mixed_precision == "bf16"
    assert next(model.parameters()).dtype == torch.float32 and trainer.state.global_step == 6
