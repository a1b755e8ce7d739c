"""The loss for a stock Trainer with `MixCollator`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from hfmix.losses.mixed import (
    as_pos_weight,
    check_smoothing,
    check_weight,
    mixed_binary_cross_entropy,
    mixed_cross_entropy,
)
from hfmix.losses.row_loss import RowLoss, mixed_row_loss
from hfmix.mixing import ERM, MixedTargets
from hfmix.utils.model_calls import logits_of


@dataclass(frozen=True, eq=False)
class MixLoss:
    """The loss of mixed batches for a stock `transformers.Trainer`: ``Trainer(compute_loss_func=MixLoss(), ...)``.

    Training batches come from `MixCollator`, whose labels are `MixedTargets`; their loss is the row-weighted sum
    of row losses, divided by the number of input examples in the whole accumulated batch, which the Trainer
    counts. Evaluation batches have plain labels, hard or soft, and get the same loss without label smoothing.

    Args:
        kind: "cross_entropy" or "binary_cross_entropy".
        weight: (C,) class weights, in training and evaluation.
        pos_weight: (C,) weights of the positives, or one number for all classes, for "binary_cross_entropy" only.
        label_smoothing: ε in [0, 1], in training only. (The Trainer's own `label_smoothing_factor` has no effect
            on a `compute_loss_func`.)
        row_loss: a loss of one's own instead of `kind`, such as `hfmix.losses.FocalLoss()`:
            ``fn(logits (R, C), labels) -> (R,)``, called for each label of the mixed rows; the results are added
            up by the labels' weights, as in `hfmix.losses.mixed_row_loss`.

    Raises:
        TypeError: a weight is not a tensor.
        ValueError: an unknown `kind`, a setting out of range, or one that a `row_loss` does not take.
    """

    kind: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    weight: Tensor | None = None
    pos_weight: Tensor | Sequence[float] | float | None = None
    label_smoothing: float = 0.0
    row_loss: RowLoss | None = None
    # class weights by device: copying them in every step would stall the GPU
    _on_device: dict[torch.device, dict[str, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in ("cross_entropy", "binary_cross_entropy"):
            raise ValueError(f"kind is 'cross_entropy' or 'binary_cross_entropy', not {self.kind!r}")
        if self.kind == "cross_entropy" and self.pos_weight is not None:
            raise ValueError("pos_weight belongs to kind='binary_cross_entropy', kind is 'cross_entropy'")
        check_smoothing(self.label_smoothing)
        if self.row_loss is not None and (self.label_smoothing or self.kind != "cross_entropy"):
            raise ValueError("row_loss is the whole loss: leave kind and label_smoothing out")
        object.__setattr__(self, "pos_weight", as_pos_weight(self.pos_weight))
        for name, weight in (("weight", self.weight), ("pos_weight", self.pos_weight)):
            if weight is not None:
                check_weight(name, weight, None)

    def __call__(self, outputs: Any, labels: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Computes the loss of one micro-batch, a scalar.

        Args:
            outputs: the model's outputs: the logits (R, C), a mapping with "logits", or a tuple that begins with
                them.
            labels: `MixedTargets`, or (N,) class indices, or (N, C) soft labels.
            num_items_in_batch: the Trainer's count of label entries over all micro-batches and processes: N a
                micro-batch for `MixedTargets` and class indices, N · C for soft labels.

        Raises:
            RuntimeError: a mixed batch reached the evaluation.
            ValueError: there are no logits or no labels.
        """
        logits = logits_of(outputs)
        if labels is None:
            raise ValueError("the batch has no `labels`: MixLoss takes MixedTargets, class indices or soft labels")
        entries = 1  # label entries that the Trainer counts for one example
        if isinstance(labels, MixedTargets):
            targets = labels
            if not logits.requires_grad:
                raise RuntimeError(
                    "MixCollator is mixing the evaluation's batches: pass the collator also as "
                    "callbacks=[collator], set collator.mixing = False, or evaluate with a separate Trainer"
                )
        else:
            targets = ERM().sample(len(labels)).targets(labels)
            entries = labels.shape[1:].numel()
        settings = {"reduction": "sum", **self._weights_on(logits.device)}
        if self.row_loss is not None:
            total = mixed_row_loss(logits, targets, self.row_loss, **settings)
        else:
            loss = mixed_cross_entropy if self.kind == "cross_entropy" else mixed_binary_cross_entropy
            smoothing = self.label_smoothing if logits.requires_grad else 0.0
            total = loss(logits, targets, label_smoothing=smoothing, **settings)
        if num_items_in_batch is None:
            return total / targets.num_inputs
        if isinstance(num_items_in_batch, Tensor):
            # under nn.DataParallel the count comes once for each of n GPUs, and the loss is multiplied by n later
            num_items_in_batch = num_items_in_batch.sum()
        return total * entries / num_items_in_batch

    def _weights_on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._on_device:
            named = {"weight": self.weight, "pos_weight": self.pos_weight}
            self._on_device[device] = {name: w.to(device) for name, w in named.items() if w is not None}
        return self._on_device[device]
