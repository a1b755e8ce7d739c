"""Early stopping: what it sets, what it goes by, and that a resumed run stops where one without a stop does."""

import pytest
from tiny import Pictures, tiny_arguments, tiny_model, tiny_trainer

from hfmix import MixTrainer, MixTrainingArguments
from hfmix.training.callbacks.early_stopping import falls

SCORES = [0.3, 0.5, 0.4, 0.5, 0.2, 0.9, 0.9]


def trainer_of(folder, scores=SCORES, **arguments):
    """An epoch of three steps, after each of which `scores` has the accuracy."""
    left = list(scores)

    def compute_metrics(prediction):
        # asked once before training for the names that it measures
        return {"accuracy": left.pop(0) if len(prediction.label_ids) == 10 else 0.0}

    args = tiny_arguments(
        folder, **{"max_steps": -1, "num_train_epochs": 7, "metric_for_best_model": "accuracy"} | arguments
    )
    data = Pictures()
    return MixTrainer(
        model=tiny_model(), args=args, train_dataset=data, eval_dataset=data, compute_metrics=compute_metrics
    )


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 5), (4, 7)])
def test_it_stops_after_so_many_evaluations_without_a_better_one(tmp_path, patience, epochs):
    trainer = trainer_of(tmp_path, early_stopping_patience=patience)
    trainer.train()
    assert trainer.state.epoch == epochs
    best = 2 if epochs < 7 else 6
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best * 3}")


def test_a_resumed_run_has_the_patience_that_was_left(tmp_path):
    trainer_of(tmp_path, early_stopping_patience=3, num_train_epochs=4).train()
    resumed = trainer_of(tmp_path, SCORES[4:], early_stopping_patience=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    assert resumed.state.epoch == 5


def test_what_it_sets(tmp_path):
    args = tiny_arguments(tmp_path, early_stopping_patience=2)
    assert (args.eval_strategy, args.save_strategy, args.load_best_model_at_end) == ("epoch", "epoch", True)
    assert (args.metric_for_best_model, args.greater_is_better) == ("loss", False)
    args = tiny_arguments(tmp_path, early_stopping_patience=2, eval_strategy="steps", eval_steps=3)
    assert (args.save_strategy, args.save_steps, args.eval_steps) == ("steps", 3, 3)
    args = tiny_arguments(tmp_path, early_stopping_patience=2, metric_for_best_model="accuracy")
    assert args.greater_is_better is True


@pytest.mark.parametrize(
    ("metric", "less_is_better"),
    [
        ("loss", True),
        ("eval_loss", True),
        ("accuracy", False),
        ("mean_average_precision", False),
        ("ece_15", True),
        ("top1_error", True),
        ("nll", True),
        ("fpr95", True),
        ("precision", False),
        ("lossless_share", False),
        ("auroc", False),
    ],
)
def test_whether_less_is_better_is_deduced(tmp_path, metric, less_is_better):
    assert falls(metric) == less_is_better
    args = tiny_arguments(tmp_path, metric_for_best_model=metric)
    assert args.greater_is_better is not less_is_better
    assert tiny_arguments(tmp_path, metric_for_best_model=metric, greater_is_better=True).greater_is_better


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"metric_for_best_model": "acuracy"},
            "metric_for_best_model is 'acuracy', .* loss, accuracy: set it to one",
        ),
        ({"metric_for_best_model": "eval_f1"}, "metric_for_best_model is 'f1'"),
        ({"early_stopping_patience": 0}, "early_stopping_patience is a whole number from 1, not 0"),
        ({"early_stopping_patience": 1.5}, "early_stopping_patience is a whole number from 1"),
    ],
)
def test_a_metric_that_is_not_measured_is_found_before_training(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(tmp_path, [], **{"early_stopping_patience": 1, **settings}).train()


def test_without_metrics_there_is_the_loss_and_with_several_sets_their_names(tmp_path):
    settings = {"eval_strategy": "epoch", "num_train_epochs": 1, "max_steps": -1}
    trainer = tiny_trainer(tmp_path, **settings, metric_for_best_model="accuracy")
    with pytest.raises(ValueError, match="evaluation measures loss: set it"):
        trainer.train()
    trainer = tiny_trainer(tmp_path, **settings, metric_for_best_model="loss")
    trainer.eval_dataset = {"a": Pictures(), "b": Pictures()}
    assert trainer.args.metric_for_best_model == "loss"
    for metric in ("loss", "c_loss"):
        trainer.args.metric_for_best_model = metric
        with pytest.raises(ValueError, match="evaluation measures a_loss, b_loss"):
            trainer.train()
    assert isinstance(trainer.args, MixTrainingArguments)
