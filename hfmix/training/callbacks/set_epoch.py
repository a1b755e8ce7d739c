"""The epoch's number, passed on to the training data."""

from typing import Any

from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmix.training.sampler import BalancedSampler


class SetEpoch(TrainerCallback):
    """A callback that calls `set_epoch` of the training set, if it has one, and of a balanced sampler.

    It does so before each epoch. accelerate's data loader does so too, but not if a sampler with a `set_epoch` is
    wrapped again: with several processes, and in the rest of an epoch after resuming in its middle.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader | None = None,
        **kwargs: Any,
    ) -> None:
        """Passes the epoch's number on. See `transformers.TrainerCallback`."""
        dataset = getattr(train_dataloader, "dataset", None)
        sampler = getattr(train_dataloader, "batch_sampler", None)
        while hasattr(sampler, "batch_sampler"):  # sharded over processes
            sampler = sampler.batch_sampler
        sampler = getattr(sampler, "sampler", None)
        epoch = int(state.epoch or 0)
        if hasattr(dataset, "set_epoch"):
            dataset.set_epoch(epoch)
        if isinstance(sampler, BalancedSampler):
            sampler.set_epoch(epoch)
