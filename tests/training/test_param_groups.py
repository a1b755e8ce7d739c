"""Groups of parameters with learning rates and weight decays of their own."""

from itertools import pairwise

import pytest
import torch
from tiny import tiny_trainer
from torch.optim import SGD
from transformers import TrainerCallback

SETTINGS = {"optim": "sgd", "learning_rate": 0.5, "weight_decay": 0.01, "max_grad_norm": 0}
NORMS = r"norm\d\.bias"


def named_groups(trainer):
    """Learning rate and weight decay of each parameter, by name."""
    names = {p: name for name, p in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    return {names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_the_pattern_s_parameters_alone_get_the_factors(tmp_path):
    factors = {NORMS: {"lr": 64, "weight_decay": 1 / 64}, "head.*weight": {"lr": 0.1}}
    changed, plain = (tiny_trainer(tmp_path, **SETTINGS, param_factors=chosen) for chosen in (factors, None))
    for trainer in (changed, plain):
        trainer.create_optimizer()
    assert type(changed.optimizer) is SGD
    found, before = named_groups(changed), named_groups(plain)
    assert found.keys() == before.keys() and len(before) == len(list(plain.model.parameters()))
    norms = {name for name in before if name.endswith(("norm1.bias", "norm2.bias"))}
    heads = {name for name in before if "head" in name and name.endswith("weight")}
    assert norms and heads
    for name, (rate, decay) in before.items():
        expected = (32.0, 0.01 / 64) if name in norms else (rate / 10, decay) if name in heads else (rate, decay)
        assert found[name] == pytest.approx(expected)
    assert {before[name] for name in norms} == {(0.5, 0.0)}


class Watching(TrainerCallback):
    """The chosen parameters after each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        moving = [p for name, p in model.named_parameters() if name.endswith("norm1.bias")]
        self.seen.append(
            (moving[0].detach().clone(), model.get_parameter("timm_model.head.weight").detach().clone())
        )


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_training_of_a_group_stops_where_its_epoch_begins(tmp_path, scheduler):
    """Ten images in batches of 4 are 3 steps an epoch; momentum does not carry the group on."""
    settings = {"param_factors": {NORMS: {"until_epoch": 2, "weight_decay": 1}}, "lr_scheduler_type": scheduler}
    settings |= {"max_steps": -1, "num_train_epochs": 3, "optim_args": "momentum=0.9"}
    trainer, watching = tiny_trainer(tmp_path, **{**SETTINGS, **settings}), Watching()
    trainer.add_callback(watching)
    trainer.train()
    norms, heads = zip(*watching.seen, strict=True)
    moved = [not torch.equal(a, b) for a, b in pairwise(norms)]
    assert moved == [True] * 5 + [False] * 3
    assert all(not torch.equal(a, b) for a, b in pairwise(heads))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"norm(": {"lr": 2}}, r"'norm\(' is not a regular expression"),
        ({"nrom": {"lr": 2}}, "'nrom' matches none of the trained parameters"),
        ({"norm": {"lr": 2}, "bias": {"lr": 3}}, "both 'norm' and 'bias' match"),
        ({"norm": {"rate": 2}}, "takes a mapping of lr, weight_decay, until_epoch, not"),
        ({"norm": 2}, "takes a mapping of lr, weight_decay, until_epoch, not 2"),
        ({"norm": {}}, "takes a mapping"),
        ({"norm": {"lr": -1}}, "lr of 'norm' is a number of 0 or more, not -1"),
        ({"norm": {"lr": "fast"}}, "lr of 'norm' is a number of 0 or more, not 'fast'"),
        ({"norm": {"until_epoch": 0}}, "until_epoch of 'norm' is a number above 0, not 0"),
        ('{"norm": ', "param_factors is not JSON"),
    ],
)
def test_factors_that_cannot_be_are_named(tmp_path, factors, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, param_factors=factors)


def test_an_end_needs_a_rate_that_depends_on_the_step_alone(tmp_path):
    settings = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 2}
    trainer = tiny_trainer(tmp_path, **settings, param_factors={NORMS: {"until_epoch": 1}})
    with pytest.raises(ValueError, match="until_epoch needs a rate that depends on the step alone, not Reduce"):
        trainer.train()
