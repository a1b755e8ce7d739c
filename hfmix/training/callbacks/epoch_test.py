"""The test set measured in the course of training, so that its best and its last figure are known."""

from typing import Any

from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from hfmix.utils.randomness import keyed_randomness

# what `Trainer.predict` adds of its own speed, which no two runs have in common
_SPEEDS = ("_runtime", "_per_second", "_time")


class EpochTest(TrainerCallback):
    """Logs the test set's loss and metrics, ``test_loss`` and ``test_...``, and leaves the training as it is.

    After each epoch, or, where evaluation goes by steps, along with it. The figures are entries of
    ``trainer.state.log_history``, which checkpoints hold: a resumed run has those of a run that never stopped.
    They select nothing, neither the best model nor an early stop, and nothing is drawn from a global generator.

    Args:
        trainer: predicts, in as many processes as it trains in.
        test: what its evaluation takes.
    """

    def __init__(self, trainer: Trainer, test: Dataset) -> None:
        self.trainer = trainer
        self.test = test

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Makes up for an epoch that ended just after the checkpoint to resume from was written."""
        at_end_of_epoch = state.global_step > 0 and float(state.epoch or 0).is_integer()
        seen = any(entry["step"] == state.global_step and "test_loss" in entry for entry in state.log_history)
        if at_end_of_epoch and not seen and not _by_steps(args):
            self._measure(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before the checkpoint of the epoch, which then holds the figures."""
        if not _by_steps(args):
            self._measure(control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before the checkpoint of the step, which then holds the figures."""
        if _by_steps(args) and control.should_evaluate:
            self._measure(control)

    def _measure(self, control: TrainerControl) -> None:
        # not `evaluate`, whose events steer early stopping and cancel an evaluation that is due; a data loader
        # draws a seed for its workers from torch's generator
        with keyed_randomness(0):
            metrics = self.trainer.predict(self.test, metric_key_prefix="test").metrics
        is_due = control.should_log
        self.trainer.log({name: value for name, value in metrics.items() if not name.endswith(_SPEEDS)})
        control.should_log = is_due  # logging clears it, and the step's own line is yet to come


def _by_steps(args: TrainingArguments) -> bool:
    return args.eval_strategy == IntervalStrategy.STEPS
