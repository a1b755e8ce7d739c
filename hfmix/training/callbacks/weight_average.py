"""An exponential moving average of the weights, kept in training and measured and published in their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback


class WeightAverage(TrainerCallback):
    """A callback that updates ``average = decay * average + (1 - decay) * weights`` after each step, buffers too.

    The first step's average is its weights. When training ends, the model gets the average.

    Args:
        decay: the weight of the average so far, in [0, 1).
    """

    file_name: ClassVar[str] = "ema.safetensors"
    option: ClassVar[str] = "ema_decay"

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._averaged: AveragedModel | None = None
        self._stored: Path | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        """Starts from the weights, or from the average in a checkpoint."""
        self._averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.decay), use_buffers=True)
        if self._stored is not None:
            self.load(self._stored)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        """Adds the new weights to the average."""
        self._averaged.update_parameters(model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: nn.Module, **kwargs: Any) -> None:
        """Copies the average into the model."""
        if self._averaged is not None and self._averaged.n_averaged > 0:
            model.load_state_dict(self._averaged.module.state_dict())
        self._averaged = None

    def save(self, checkpoint: str | Path) -> None:
        """Writes the average into a checkpoint's folder."""
        if self._averaged is not None:
            save_model(self._averaged, str(Path(checkpoint, self.file_name)))

    def load(self, checkpoint: str | Path) -> None:
        """Loads the average of a checkpoint: now if training has begun, else when it begins.

        Raises:
            ValueError: the checkpoint holds no average.
        """
        path = Path(checkpoint, self.file_name)
        if not path.is_file():
            raise ValueError(f"{checkpoint} holds no average of the weights: it was trained without {self.option}")
        if self._averaged is None:
            self._stored = Path(checkpoint)
        else:
            load_model(self._averaged, str(path))
            self._stored = None

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Gives the model the average as its weights within the block, if there is one yet."""
        if self._averaged is None or self._averaged.n_averaged == 0:
            yield
            return
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self._averaged.module.state_dict())
        try:
            yield
        finally:
            with torch.no_grad():
                model.load_state_dict(weights)
