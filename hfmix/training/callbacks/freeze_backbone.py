"""Training of the head alone, for the whole run or its first epochs."""

import sys
from typing import Any

from torch import nn
from transformers import TrainerCallback

from hfmix.models.heads import Backbone, backbone_of

_ROUNDING = 1e-6  # of the epoch's number, a sum of fractions


class FreezeBackbone(TrainerCallback):
    """A callback that freezes everything but a classifier's head, until an epoch if one is given.

    Frozen parameters get no gradient, so that the optimizer, which holds those that will be trained later from
    the beginning, leaves them as they are, with weight decay too. Frozen modules stay in evaluation mode: the
    statistics of batch normalisation do not change, and nothing is dropped. A run that resumes is frozen or not
    by its epoch. Parameters that were frozen before stay so.

    Args:
        model: the classifier.
        until: the epoch, possibly with a fraction, from which all is trained; None for never.

    Raises:
        ValueError: the model's head cannot be told.
    """

    def __init__(self, model: nn.Module, until: float | None = None) -> None:
        self.until = until
        self._take(model)

    def prepare(self, model: nn.Module) -> None:
        """Prepares for the optimizer, which takes what is trainable, and for `DistributedDataParallel`.

        What will be trained later is trainable until then; what never will is frozen now.
        """
        if model is not self._model:  # a new one, by `model_init`
            self._take(model)
        self._set(trainable=self.until is not None)

    def hold_still(self) -> None:
        """Puts the frozen modules back into evaluation mode, after ``model.train()``."""
        if self.is_frozen:
            for module in self._backbone.modules:
                module.training = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Freezes, unless the run resumes after the epoch; says what is trained."""
        self._set(trainable=self._is_over(state))
        if args.process_index == 0:
            later = "" if self.until is None else f", and all from epoch {self.until:g}"
            what = f"the head, {', '.join(self._backbone.head)}{later}" if self.is_frozen else "all"
            _say(f"training {self._share_trained()} parameters: {what}")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Unfreezes at the epoch, and says so."""
        if self.is_frozen and self._is_over(state):
            self._set(trainable=True)  # the Trainer puts all modules into training mode in each step
            if args.process_index == 0:
                _say(f"epoch {state.epoch:g}: training {self._share_trained()} parameters")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the freezing of what would have been trained later."""
        if self.until is not None:
            self._set(trainable=True)

    def _take(self, model: nn.Module) -> None:
        self._model = model
        self._backbone: Backbone = backbone_of(model)
        # others were frozen by the user
        self._frozen = [parameter for parameter in self._backbone.parameters if parameter.requires_grad]
        self.is_frozen = False

    def _share_trained(self) -> str:
        counts = [(p.numel(), p.requires_grad) for p in self._model.parameters()]
        return f"{sum(n for n, trained in counts if trained):,} of {sum(n for n, _ in counts):,}"

    def _set(self, trainable: bool) -> None:
        self.is_frozen = not trainable
        for parameter in self._frozen:
            parameter.requires_grad_(trainable)

    def _is_over(self, state: Any) -> bool:
        return self.until is not None and float(state.epoch or 0.0) >= self.until - _ROUNDING


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
