"""Measurement of the test set during training, so that its best and its last accuracy are known."""

from typing import Any

from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from hfmix.utils.randomness import keyed_randomness

# suffixes of the speeds that `Trainer.predict` adds, which differ between equal runs
_SPEEDS = ("_runtime", "_per_second", "_time")


class EpochTest(TrainerCallback):
    """A callback that logs the test set's ``test_loss`` and ``test_...`` metrics; training is not affected.

    It measures after each epoch or, if evaluation goes by steps, with each evaluation. The metrics are entries of
    ``trainer.state.log_history``, which checkpoints hold: a resumed run has the same as one that never stopped.
    They select nothing, neither the best model nor an early stop, and nothing is drawn from a global generator.

    Args:
        trainer: the trainer, which predicts in as many processes as it trains in.
        test: the test set, as the trainer's evaluation takes it.
    """

    def __init__(self, trainer: Trainer, test: Dataset) -> None:
        self.trainer = trainer
        self.test = test

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures an epoch that ended just after the checkpoint to resume from was written."""
        at_end_of_epoch = state.global_step > 0 and float(state.epoch or 0).is_integer()
        seen = any(entry["step"] == state.global_step and "test_loss" in entry for entry in state.log_history)
        if at_end_of_epoch and not seen and not _by_steps(args):
            self._measure(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures before the epoch's checkpoint is written, which then holds the metrics."""
        if not _by_steps(args):
            self._measure(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures before the step's checkpoint is written, which then holds the metrics."""
        if _by_steps(args) and control.should_evaluate:
            self._measure(control)

    def _measure(self, control: TrainerControl) -> None:
        # not `evaluate`, whose events steer early stopping and cancel an evaluation that is due; keyed, since a
        # data loader draws a seed for its workers from torch's generator
        with keyed_randomness(0):
            metrics = self.trainer.predict(self.test, metric_key_prefix="test").metrics
        is_due = control.should_log
        self.trainer.log({name: value for name, value in metrics.items() if not name.endswith(_SPEEDS)})
        control.should_log = is_due  # logging clears it, but the step's own line is still to come


def _by_steps(args: TrainingArguments) -> bool:
    return args.eval_strategy == IntervalStrategy.STEPS
