"""Values of training options that transformers takes as they come: one line, or the number that is meant."""

import logging

import pytest
from tiny import tiny_arguments, tiny_trainer


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_steps": 0}, "max_steps is 0, which trains nothing"),
        (
            {"max_steps": -2},
            "max_steps is a whole number from -1; -1 leaves the length to num_train_epochs, not -2",
        ),
        ({"max_steps": 2.5}, "max_steps is a whole number"),
        ({"max_steps": -1, "num_train_epochs": 0}, "num_train_epochs is 0, which trains nothing"),
        ({"max_steps": -1, "num_train_epochs": -1}, "num_train_epochs is a number from 0, not -1"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is a whole number from 1, not 0"),
        ({"per_device_eval_batch_size": -8}, "per_device_eval_batch_size is a whole number from 1, not -8"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is a whole number from 1, not 0"),
        ({"label_smoothing_factor": 2}, "label_smoothing_factor is a number from 0 to 1, not 2"),
        ({"label_smoothing_factor": -0.1}, "label_smoothing_factor is a number from 0 to 1"),
        ({"learning_rate": "fast"}, "learning_rate is a number from 0, not 'fast'"),
        ({"learning_rate": float("nan")}, "learning_rate is a number from 0, not nan"),
        ({"learning_rate": True}, "learning_rate is a number from 0, not True"),
        ({"weight_decay": -0.1}, "weight_decay is a number from 0"),
        ({"seed": -1}, "seed is a whole number from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "seed is a whole number from 0 to 4294967295"),
        ({"data_seed": -5}, "data_seed is a whole number"),
        ({"warmup_steps": -3}, "warmup_steps is a number from 0; below 1 a share of all steps, not -3"),
        ({"max_grad_norm": -1}, "max_grad_norm is a number from 0; 0 clips nothing"),
        ({"adam_beta1": 1.5}, "adam_beta1 is a number from 0 to 1"),
        ({"dataloader_num_workers": -1}, "dataloader_num_workers is a whole number from 0"),
        ({"save_total_limit": 0}, "save_total_limit is a whole number from 1"),
        ({"logging_steps": -5}, "logging_steps is a number from 0"),
        (
            {"save_strategy": "steps", "save_steps": 0},
            "save_steps is 0: set a number above 0, or save_strategy no",
        ),
        ({"eval_steps": -2}, "eval_steps is a number from 0"),
        ({"unfreeze_at_epoch": -1, "freeze_backbone": True}, "unfreeze_at_epoch is a number from 0"),
        ({"sampler": "weighted"}, "sampler is random or balanced, not 'weighted'"),
        ({"loss_kind": "focal", "focal_gamma": -1.0}, "focal_gamma is a finite number from 0"),
    ],
)
def test_a_value_out_of_range_is_one_line(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        tiny_arguments(tmp_path, **settings)
    assert "\n" not in str(error.value)


def test_numbers_that_are_words_are_numbers(tmp_path):
    """As `yaml.safe_load` gives 1e-3, which has no dot."""
    args = tiny_arguments(
        tmp_path, learning_rate="1e-3", per_device_train_batch_size="8", seed="7", warmup_steps="0.1"
    )
    assert (args.learning_rate, args.per_device_train_batch_size, args.seed) == (1e-3, 8, 7)
    assert isinstance(args.seed, int) and args.get_warmup_steps(100) == 10


@pytest.mark.parametrize(("warmup", "is_said"), [(6, True), (500, True), (5, False), (0.5, False), (0, False)])
def test_a_warm_up_longer_than_the_training_is_said(tmp_path, caplog, warmup, is_said):
    with caplog.at_level(logging.WARNING, "hfmix"):
        tiny_trainer(tmp_path, warmup_steps=warmup).train()  # six steps
    assert any("is never reached" in record.getMessage() for record in caplog.records) == is_said
