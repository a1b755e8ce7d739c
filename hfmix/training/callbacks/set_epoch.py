"""Tells the training data which epoch it is."""

from typing import Any

from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SetEpoch(TrainerCallback):
    """Calls `set_epoch` of the training set, where it has one, before each epoch.

    accelerate's data loader does so too, but not where a sampler that has a `set_epoch` is wrapped once more: with
    several processes, and in the rest of an epoch after resuming in its middle.
    """

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader | None = None,
        **kwargs: Any,
    ) -> None:
        """See `transformers.TrainerCallback`."""
        dataset = getattr(train_dataloader, "dataset", None)
        if hasattr(dataset, "set_epoch"):
            dataset.set_epoch(int(state.epoch or 0))
