"""A learning rate that drops at given epochs or follows a triangle, and Nesterov's momentum."""

import pytest
import torch
from tiny import tiny_trainer

SGD = {"optim": "sgd", "learning_rate": 0.8, "optim_args": "momentum=0.9,nesterov=true", "max_grad_norm": 0}


def rates(folder, **arguments):
    """The learning rate of each step: 10 images in batches of 4 are 3 steps an epoch."""
    trainer = tiny_trainer(folder, **SGD, **arguments)
    trainer.train()
    return [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]


def test_it_drops_where_an_epoch_begins(tmp_path):
    arguments = {"max_steps": -1, "num_train_epochs": 4, "lr_scheduler_type": "constant"}
    seen = rates(tmp_path, **arguments, lr_drop_epochs=[1, 3], lr_drop_factor=0.5)
    assert seen == pytest.approx([0.8] * 3 + [0.4] * 6 + [0.2] * 3)


def test_it_warms_up_first_and_keeps_its_shares_in_a_shorter_run(tmp_path):
    arguments = {"max_steps": 8, "num_train_epochs": 200, "lr_scheduler_type": "constant_with_warmup"}
    seen = rates(tmp_path, **arguments, warmup_steps=2, lr_drop_epochs=[100, 150])
    assert seen == pytest.approx([0, 0.4, 0.8, 0.8, 0.08, 0.08, 0.008, 0.008])


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    arguments = {"max_steps": 6, "lr_scheduler_type": "constant", "lr_drop_epochs": [1, 2]}
    straight = rates(tmp_path, **arguments, save_strategy="steps", save_steps=3)
    resumed = tiny_trainer(tmp_path, **SGD, **arguments)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    logged = [entry["learning_rate"] for entry in resumed.state.log_history if "learning_rate" in entry]
    assert logged == pytest.approx(straight) and straight[-1] == pytest.approx(0.008)


def test_optim_args_reach_nesterov(tmp_path):
    trainer = tiny_trainer(tmp_path, **SGD, weight_decay=5e-4)
    optimizer = trainer.create_optimizer()
    assert type(optimizer) is torch.optim.SGD
    decayed, spared = optimizer.param_groups
    assert (decayed["nesterov"], decayed["momentum"], decayed["lr"]) == (True, 0.9, 0.8)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (5e-4, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_drop_epochs": [100, 50]}, "lr_drop_epochs are above 0 and strictly increasing"),
        ({"lr_drop_epochs": [0]}, "lr_drop_epochs are above 0"),
        ({"lr_drop_epochs": [1], "lr_drop_factor": 1.0}, "lr_drop_factor lies between 0 and 1, not 1.0"),
        (
            {"lr_drop_epochs": [1], "lr_scheduler_type": "cosine"},
            "goes with lr_scheduler_type constant or constant_with_warmup, not cosine",
        ),
    ],
)
def test_drops_that_cannot_be_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, **{"lr_scheduler_type": "constant", **arguments})


TRIANGLE = {"start": 0.2, "peak_at": 0.23, "end": 0.07}


def test_a_triangle_rises_and_falls_linearly(tmp_path):
    """Of 100 steps: 0.2 at first, all of it at step 23, 0.07 after the last, straight lines in between."""
    trainer = tiny_trainer(tmp_path, **SGD, lr_scheduler_type="constant", lr_triangle=TRIANGLE)
    trainer.create_optimizer()
    scheduler = trainer.create_scheduler(100)
    seen = []
    for _ in range(101):
        seen.append(scheduler.get_last_lr()[0] / 0.8)
        trainer.optimizer.step()
        scheduler.step()
    assert (seen[0], seen[23], seen[100]) == pytest.approx((0.2, 1.0, 0.07))
    up, down = torch.tensor(seen[:24]).diff(), torch.tensor(seen[23:]).diff()
    torch.testing.assert_close(up, torch.full((23,), 0.8 / 23), rtol=1e-4, atol=0)
    torch.testing.assert_close(down, torch.full((77,), -0.93 / 77), rtol=1e-4, atol=0)


def test_a_triangle_keeps_its_shares_and_its_groups_in_a_shorter_run(tmp_path):
    arguments = {"max_steps": 4, "num_train_epochs": 200, "lr_scheduler_type": "constant"}
    seen = rates(tmp_path, **arguments, lr_triangle='{"peak_at": 0.5}')
    assert seen == pytest.approx([0, 0.4, 0.8, 0.4])
    factors = {r"norm\d\.bias": {"lr": 2, "until_epoch": 100}}
    trainer = tiny_trainer(tmp_path, **SGD, **arguments, lr_triangle={"peak_at": 0}, param_factors=factors)
    trainer.create_optimizer()
    scheduler = trainer.create_scheduler(4)
    seen = []
    for _ in range(4):
        seen.append(scheduler.get_last_lr())
        trainer.optimizer.step()
        scheduler.step()
    assert [group[0] for group in seen] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert [group[-1] for group in seen] == pytest.approx([1.6, 1.2, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_triangle": {"start": 0.2}}, "lr_triangle takes peak_at"),
        ({"lr_triangle": {"peak_at": 0.2, "peak": 1}}, "lr_triangle takes peak_at"),
        ({"lr_triangle": {"peak_at": 1}}, "peak_at lies between 0 and 1, not 1"),
        ({"lr_triangle": {"peak_at": 0.2, "end": -0.1}}, "end lies between 0 and 1, not -0.1"),
        ({"lr_triangle": {"peak_at": "early"}}, "peak_at lies between 0 and 1, not 'early'"),
        ({"lr_triangle": TRIANGLE, "lr_drop_epochs": [1]}, "give one of them"),
        (
            {"lr_triangle": TRIANGLE, "lr_scheduler_type": "linear"},
            "lr_scheduler_type constant, not linear",
        ),
        ({"lr_triangle": "steep"}, "lr_triangle is not JSON"),
    ],
)
def test_triangles_that_cannot_be_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, **{"lr_scheduler_type": "constant", **arguments})
