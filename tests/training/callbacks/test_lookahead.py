"""Lookahead follows its recursion, is what training leaves, and survives a stop."""

import pytest
import torch
from tiny import tiny_trainer, weights
from torch import nn
from transformers import TrainerCallback, TrainerState

from hfmix import Mixup
from hfmix.training.callbacks.lookahead import Lookahead


def test_three_updates_by_hand():
    """One weight that moves by 1 a step, updates every 2 of 7 steps, decay 0.5: w = 0.25 (t / 7)³."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    lookahead, state = Lookahead(2, 0.5), TrainerState(max_steps=7)
    lookahead.on_train_begin(None, state, None, model=model)
    seen = []
    for step in range(1, 8):
        with torch.no_grad():
            model.weight += 1
        state.global_step = step
        lookahead.on_step_end(None, state, None, model=model)
        seen.append(model.weight.item())
    w2, w4, w6 = (0.25 * (t / 7) ** 3 for t in (2, 4, 6))
    s2 = (1 - w2) * 2
    s4 = w4 * s2 + (1 - w4) * (s2 + 2)
    s6 = w6 * s4 + (1 - w6) * (s4 + 2)
    assert seen == pytest.approx([1, s2, s2 + 1, s4, s4 + 1, s6, s6 + 1], rel=1e-6)
    lookahead.on_train_end(None, state, None, model=model)
    assert model.weight.item() == pytest.approx(s6)  # the last step, after the last update, is not in it


def test_running_statistics_are_averaged_and_counted():
    model = nn.BatchNorm1d(1)
    lookahead, state = Lookahead(1, 0.5), TrainerState(max_steps=2)
    lookahead.on_train_begin(None, state, None, model=model)
    model.running_mean.fill_(8.0)
    model.num_batches_tracked.fill_(3)
    state.global_step = 2
    lookahead.on_step_end(None, state, None, model=model)
    assert model.running_mean.item() == 4.0
    lookahead.on_train_end(None, state, None, model=model)
    assert model.num_batches_tracked.item() == 3 and model.running_mean.item() == 4.0


class Watching(TrainerCallback):
    """The weights after each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seen.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))


def test_evaluation_sees_the_average_which_training_leaves(tmp_path):
    watching = Watching()
    settings = {"lookahead_steps": 2, "eval_strategy": "steps", "eval_steps": 5, "max_steps": 5}
    trainer = tiny_trainer(tmp_path, Mixup(1.0), **settings)
    trainer.add_callback(watching)
    trainer.train()
    assert torch.equal(weights(trainer), watching.seen[3])  # the average of step 4, without step 5
    at_the_end = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry][-1]
    assert at_the_end == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-6)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    """Stopped between two updates, under a triangle and groups of parameters."""
    shape = {
        "lr_scheduler_type": "constant",
        "lr_triangle": {"start": 0.2, "peak_at": 0.3, "end": 0.1},
        "param_factors": {r"norm\d\.bias": {"lr": 4, "weight_decay": 0.25, "until_epoch": 2}},
        "weight_decay": 0.1,
        "lookahead_steps": 3,
        "max_steps": 9,
    }
    straight = tiny_trainer(tmp_path / "a", Mixup(1.0), **shape)
    straight.train()
    tiny_trainer(tmp_path / "b", Mixup(1.0), **shape, save_strategy="steps", save_steps=4).train()
    resumed = tiny_trainer(tmp_path / "b", Mixup(1.0), **shape)
    resumed.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-4"))
    assert torch.equal(weights(straight), weights(resumed))
    averaged = tiny_trainer(tmp_path / "b", Mixup(1.0), ema_decay=0.5, max_steps=9)
    with pytest.raises(ValueError, match="it was trained without ema_decay"):
        averaged.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-4"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookahead_steps": 0}, "lookahead_steps is a whole number from 1, not 0"),
        ({"lookahead_steps": 5, "lookahead_decay": 1.0}, "lookahead_decay lies in"),
        ({"lookahead_steps": 5, "ema_decay": 0.9}, "give one of them"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, **settings)
