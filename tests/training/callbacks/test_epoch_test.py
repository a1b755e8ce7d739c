"""The test set is measured in the course of training, which goes on as if it were not."""

import json
from pathlib import Path

import pytest
import torch
from launching import launch
from tiny import Pictures, tiny_trainer, weights
from torch import nn
from transformers import EarlyStoppingCallback

from hfmix import Mixup
from hfmix.train import accuracy
from hfmix.training.callbacks.epoch_test import EpochTest

SPEEDS = ("runtime", "per_second")


def trainer_of(folder, watched=True, **arguments):
    """Three steps an epoch, dropout that draws from torch's generator, and a test set of 14 pictures."""
    trainer = tiny_trainer(folder, Mixup(1.0), learning_rate=0.01, **arguments)
    dropouts = [module for module in trainer.model.modules() if isinstance(module, nn.Dropout)]
    assert dropouts
    for dropout in dropouts:
        dropout.p = 0.3
    torch.manual_seed(0)  # what dropout draws
    trainer.compute_metrics = accuracy
    if watched:
        trainer.add_callback(EpochTest(trainer, Pictures(14)))
    return trainer


def history(trainer):
    """What was logged, without what no two runs have in common."""
    return [
        {key: value for key, value in entry.items() if not key.endswith(SPEEDS)}
        for entry in trainer.state.log_history
    ]


def of_test(trainer):
    return [entry for entry in history(trainer) if "test_accuracy" in entry]


def test_each_epoch_has_its_entry(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.train()
    entries = of_test(trainer)
    assert [(entry["epoch"], entry["step"]) for entry in entries] == [(1.0, 3), (2.0, 6)]
    assert all(entry.keys() == {"test_loss", "test_accuracy", "epoch", "step"} for entry in entries)
    pictures = Pictures(14)
    logits = trainer.model.eval()(pictures.x).logits
    assert entries[-1]["test_accuracy"] == (logits.argmax(1) == pictures.y).double().mean().item()
    assert entries[-1]["test_loss"] == pytest.approx(nn.functional.cross_entropy(logits, pictures.y).item())
    short = trainer_of(tmp_path / "short", max_steps=3, lr_scheduler_type="constant")
    short.train()
    other = trainer_of(tmp_path / "other", lr_scheduler_type="constant")
    other.train()
    assert of_test(short) == of_test(other)[:1]  # measured when the epoch ended, not later


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"logging_strategy": "epoch", "eval_strategy": "epoch"},
        {"logging_steps": 3, "eval_strategy": "epoch", "save_strategy": "epoch"},
        {"logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2},
        {"ema_decay": 0.5, "logging_strategy": "epoch"},
    ],
    ids=str,
)
def test_training_and_its_log_stay_the_same(tmp_path, how):
    plain = trainer_of(tmp_path / "plain", watched=False, **how)
    plain.train()
    plain_draw = torch.rand(())
    watched = trainer_of(tmp_path / "watched", **how)
    watched.train()
    assert torch.equal(weights(plain), weights(watched)) and torch.equal(plain_draw, torch.rand(()))
    assert len(of_test(watched)) >= 2
    assert [entry for entry in history(watched) if "test_accuracy" not in entry] == history(plain)


def test_it_selects_nothing(tmp_path, caplog):
    """Training stops as early, and takes the same best model, as without."""
    how = {
        "max_steps": 30,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
    }
    ended = []
    for watched in (False, True):
        trainer = trainer_of(tmp_path / str(watched), watched, **how)
        trainer.add_callback(EarlyStoppingCallback(2, early_stopping_threshold=0.5))
        trainer.train()
        ended.append((trainer.state.global_step, trainer.state.best_global_step, trainer.state.best_metric))
        assert trainer.state.global_step < 30
    assert ended[0] == ended[1]
    assert "early stopping" not in caplog.text


@pytest.mark.parametrize(
    ("how", "checkpoint"),
    [
        ({"save_strategy": "epoch"}, 3),
        ({"save_strategy": "steps", "save_steps": 2}, 2),
        ({"save_strategy": "steps", "save_steps": 2}, 4),
        ({"save_strategy": "steps", "save_steps": 3}, 3),  # written before the end of the epoch is measured
        ({"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}, 2),
    ],
    ids=str,
)
def test_a_resumed_run_has_the_whole_history(tmp_path, how, checkpoint):
    straight = trainer_of(tmp_path, **how)
    straight.train()
    resumed = trainer_of(tmp_path, **how)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{checkpoint}"))
    assert torch.equal(weights(straight), weights(resumed))
    # the mean training loss of the whole run is of its own part in a resumed one
    last, last_resumed = (history(trainer)[-1].pop("train_loss") for trainer in (straight, resumed))
    assert last > 0 and last_resumed > 0
    without = [
        [{k: v for k, v in entry.items() if k != "train_loss"} for entry in history(trainer)]
        for trainer in (straight, resumed)
    ]
    assert without[0] == without[1] and len(of_test(resumed)) >= 2


def test_by_steps_it_goes_with_each_evaluation(tmp_path):
    trainer = trainer_of(tmp_path, max_steps=5, eval_strategy="steps", eval_steps=2)
    trainer.train()
    steps = [[entry["step"] for entry in history(trainer) if key in entry] for key in ("test_loss", "eval_loss")]
    assert steps[0] == steps[1] == [2, 4, 5]


def test_the_average_of_the_weights_is_measured(tmp_path):
    trainer = trainer_of(tmp_path, ema_decay=0.5)
    trainer.train()
    measured = trainer.predict(Pictures(14)).metrics  # the model has the average by now
    assert of_test(trainer)[-1]["test_loss"] == pytest.approx(measured["test_loss"], rel=1e-6)


SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_epoch_test import history, trainer_of
trainer = trainer_of(Path(sys.argv[1], "run"), per_device_train_batch_size=2, per_device_eval_batch_size=4)
trainer.train()
Path(sys.argv[1], f"rank{trainer.args.process_index}.json").write_text(json.dumps(history(trainer)))
predicted = trainer.predict(trainer.callback_handler.callbacks[-1].test).metrics
Path(sys.argv[1], f"again{trainer.args.process_index}.json").write_text(json.dumps(predicted))
trainer.accelerator.wait_for_everyone()
os._exit(0)
"""


@pytest.mark.slow
def test_two_processes_share_the_test_set(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    launch(2, tmp_path / "script.py", tmp_path, Path(__file__).parent)
    logged = [json.loads((tmp_path / f"rank{i}.json").read_text()) for i in (0, 1)]
    again = json.loads((tmp_path / "again0.json").read_text())
    entries = [[entry for entry in log if "test_accuracy" in entry] for log in logged]
    assert len(entries[0]) == 2 and entries[0] == entries[1]
    assert round(14 * entries[0][-1]["test_accuracy"]) == pytest.approx(14 * again["test_accuracy"])
    assert entries[0][-1]["test_loss"] == pytest.approx(again["test_loss"], rel=1e-6)
