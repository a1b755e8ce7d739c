"""Training of the head alone, and of all from an epoch: weights, statistics, dropout, resuming, processes."""

from itertools import pairwise

import pytest
import torch
from tiny import Pictures, tiny_arguments, weights
from torch import nn
from transformers import TrainerCallback

from hfmix import MixTrainer, Mixup, load_backbone


def net(dropout=0.0):
    """A small ResNet with BatchNorm."""
    torch.manual_seed(0)
    args = {"drop_path_rate": dropout}
    return load_backbone("test_resnet", list("abcd"), pretrained=False, image_size=32, model_args=args)[0]


def trainer_of(folder, model=None, **arguments):
    """Three epochs of three steps of four pictures."""
    defaults = {"max_steps": 9, "freeze_backbone": True, "learning_rate": 0.01, "weight_decay": 0.1}
    args = tiny_arguments(folder, **{**defaults, **arguments})
    return MixTrainer(model=model or net(), args=args, policy=Mixup(1.0), train_dataset=Pictures())


class Recorder(TrainerCallback):
    """Keeps a weight and a running mean after each step."""

    def __init__(self, *tensors):
        self.tensors, self.history = tensors, [[tensor.detach().clone() for tensor in tensors]]

    def on_step_end(self, args, state, control, **kwargs):
        self.history.append([tensor.detach().clone() for tensor in self.tensors])


def test_only_the_head_changes(tmp_path, capfd):
    model = net(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []
    model.timm_model.layer2.register_forward_hook(lambda module, x, y: seen.append(module.training))
    trainer_of(tmp_path, model).train()
    assert seen == [False] * 9 and model.training
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"timm_model.fc.weight", "timm_model.fc.bias"}
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("training ")]
    total = sum(p.numel() for p in model.parameters())
    assert lines == [f"training {96 * 4 + 4:,} of {total:,} parameters: the head, timm_model.fc"]


@pytest.mark.parametrize(("until", "step"), [(1, 3), (0.5, 2), (2, 6), (0, 0), (5, 9)])
def test_all_is_trained_from_the_epoch_on(tmp_path, until, step):
    trainer = trainer_of(tmp_path, unfreeze_at_epoch=until)
    model = trainer.model
    stem = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    own = next(model.timm_model.layer1.parameters())
    recorder = Recorder(own, stem.running_mean)
    trainer.add_callback(recorder)
    trainer.train()
    pairs = list(pairwise(recorder.history))
    moved, counted = ([not torch.equal(a[i], b[i]) for a, b in pairs] for i in (0, 1))
    assert moved == counted == [i >= step for i in range(9)]
    assert sum(len(group["params"]) for group in trainer.optimizer.param_groups) == len(list(model.parameters()))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_a_run_resumes_bit_for_bit_before_and_after_the_epoch(tmp_path, stop):
    settings = {"unfreeze_at_epoch": 1, "save_strategy": "steps", "save_steps": 1}
    straight = trainer_of(tmp_path, **settings)
    straight.train()
    resumed = trainer_of(tmp_path, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stop}"))
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_what_the_user_froze_stays_frozen(tmp_path):
    model = net()
    stem = model.timm_model.layer1.requires_grad_(False)
    before = torch.cat([p.detach().flatten().clone() for p in stem.parameters()])
    trainer = trainer_of(tmp_path, model, unfreeze_at_epoch=1)
    trainer.train()
    assert torch.equal(before, torch.cat([p.detach().flatten() for p in stem.parameters()]))
    assert not any(p.requires_grad for p in stem.parameters())


def test_it_goes_with_an_average_of_the_weights_and_without_a_head_it_is_refused(tmp_path):
    trainer = trainer_of(tmp_path, unfreeze_at_epoch=1, ema_decay=0.5)
    before = weights(trainer)
    trainer.train()
    assert not torch.equal(before, weights(trainer))

    class Headless(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(3, 4)

    with pytest.raises(ValueError, match=r"the head of Headless cannot be told .* only body"):
        trainer_of(tmp_path, Headless())
    for settings, message in (
        ({"freeze_backbone": False}, "goes with freeze_backbone"),
        ({"ddp_find_unused_parameters": False}, "leave ddp_find_unused_parameters"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer_of(tmp_path, unfreeze_at_epoch=1, **settings)
