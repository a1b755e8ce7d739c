"""The average follows its recursion, is what evaluation sees and what training leaves, and survives a stop."""

import pytest
import torch
from tiny import tiny_trainer, weights
from transformers import TrainerCallback

from hfmix import Mixup

DECAY = 0.7


class Watching(TrainerCallback):
    """The weights after each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seen.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))


def averaged(seen):
    average = seen[0]
    for after in seen[1:]:
        average = DECAY * average + (1 - DECAY) * after
    return average


def test_the_model_ends_as_the_average_of_its_steps(tmp_path):
    watching = Watching()
    trainer = tiny_trainer(tmp_path, Mixup(1.0), ema_decay=DECAY)
    trainer.add_callback(watching)
    trainer.train()
    torch.testing.assert_close(weights(trainer), averaged(watching.seen), rtol=1e-5, atol=1e-7)
    plain = tiny_trainer(tmp_path, Mixup(1.0))
    plain.train()
    torch.testing.assert_close(watching.seen[-1], weights(plain), rtol=0, atol=0)  # training itself is the same


def test_evaluation_sees_the_average_and_training_goes_on_without_it(tmp_path):
    watching = Watching()
    trainer = tiny_trainer(tmp_path, Mixup(1.0), ema_decay=DECAY, eval_strategy="steps", eval_steps=3)
    trainer.add_callback(watching)
    trainer.train()
    at_the_end = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry][-1]
    assert at_the_end == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-6)  # which has the average by now
    torch.testing.assert_close(weights(trainer), averaged(watching.seen), rtol=1e-5, atol=1e-7)


def test_a_resumed_run_ends_with_the_same_average(tmp_path):
    straight = tiny_trainer(tmp_path / "a", Mixup(1.0), ema_decay=DECAY)
    straight.train()
    stopped = tiny_trainer(tmp_path / "b", Mixup(1.0), ema_decay=DECAY, save_strategy="steps", save_steps=4)
    stopped.train()
    checkpoint = str(tmp_path / "b" / "checkpoint-4")
    resumed = tiny_trainer(tmp_path / "b", Mixup(1.0), ema_decay=DECAY)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert torch.equal(weights(straight), weights(resumed))
    without = tiny_trainer(tmp_path / "c", Mixup(1.0), save_strategy="steps", save_steps=4)
    without.train()
    with pytest.raises(ValueError, match="holds no average of the weights: it was trained without ema_decay"):
        tiny_trainer(tmp_path / "c", Mixup(1.0), ema_decay=DECAY).train(
            resume_from_checkpoint=str(tmp_path / "c" / "checkpoint-4")
        )


def test_the_best_model_is_the_best_average(tmp_path):
    watching = Watching()
    trainer = tiny_trainer(
        tmp_path,
        Mixup(1.0),
        ema_decay=DECAY,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        learning_rate=0.05,
    )
    trainer.add_callback(watching)
    trainer.train()
    best = trainer.state.best_global_step
    torch.testing.assert_close(weights(trainer), averaged(watching.seen[:best]), rtol=1e-5, atol=1e-7)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(trainer.state.best_metric, rel=1e-6)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_the_decay_lies_below_one(tmp_path, decay):
    with pytest.raises(ValueError, match="ema_decay lies in"):
        tiny_trainer(tmp_path, ema_decay=decay)
