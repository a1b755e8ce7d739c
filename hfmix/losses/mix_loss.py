"""The loss for a stock Trainer that is fed by `MixCollator`."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from hfmix.losses.mixed import (
    check_smoothing,
    check_weight,
    mixed_binary_cross_entropy,
    mixed_cross_entropy,
)
from hfmix.mixing import ERM, MixedTargets
from hfmix.utils.model_calls import logits_of


@dataclass(frozen=True, eq=False)
class MixLoss:
    """The loss of mixed batches for a stock `transformers.Trainer`: ``Trainer(compute_loss_func=MixLoss(), ...)``.

    The training batches come from `MixCollator`, whose labels are `MixedTargets`; the loss is the row-weighted sum
    of their row losses over the number of input examples in the whole accumulated batch, which the Trainer counts.
    Evaluation batches hold plain labels, hard or soft, and get the same loss, unmixed and without label smoothing.

    Args:
        kind: "cross_entropy" or "binary_cross_entropy".
        weight: (C,) class weights, in training and evaluation.
        pos_weight: (C,) weights of the positives, for "binary_cross_entropy" only.
        label_smoothing: ε in [0, 1], in training only. (The Trainer's own `label_smoothing_factor` has no effect
            on a `compute_loss_func`.)

    Raises:
        TypeError: a weight is not a tensor.
        ValueError: an unknown `kind`, or a setting out of range.
    """

    kind: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    weight: Tensor | None = None
    pos_weight: Tensor | None = None
    label_smoothing: float = 0.0
    # the weights on the devices that asked for them: a copy in every step would hold the GPU up
    _on_device: dict[torch.device, dict[str, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in ("cross_entropy", "binary_cross_entropy"):
            raise ValueError(f"kind is 'cross_entropy' or 'binary_cross_entropy', not {self.kind!r}")
        if self.kind == "cross_entropy" and self.pos_weight is not None:
            raise ValueError("pos_weight belongs to kind='binary_cross_entropy', kind is 'cross_entropy'")
        check_smoothing(self.label_smoothing)
        for name, weight in (("weight", self.weight), ("pos_weight", self.pos_weight)):
            if weight is not None:
                check_weight(name, weight, None)

    def __call__(self, outputs: Any, labels: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """The loss of one micro-batch, a scalar.

        Args:
            outputs: the model's: a mapping with "logits", a tuple that begins with them, or the logits (R, C).
            labels: `MixedTargets`, or (N,) class indices, or (N, C) soft labels.
            num_items_in_batch: what the Trainer counted, over all micro-batches and processes: the entries of the
                labels, which are N a micro-batch for `MixedTargets` and class indices, N · C for soft labels.

        Raises:
            RuntimeError: a mixed batch reached the evaluation.
            ValueError: there are no logits or no labels.
        """
        logits = logits_of(outputs)
        if labels is None:
            raise ValueError("the batch has no `labels`: MixLoss takes MixedTargets, class indices or soft labels")
        entries = 1  # those that the Trainer counts for one example
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
        total = (mixed_cross_entropy if self.kind == "cross_entropy" else mixed_binary_cross_entropy)(
            logits,
            targets,
            label_smoothing=self.label_smoothing if logits.requires_grad else 0.0,
            reduction="sum",
            **self._weights_on(logits.device),
        )
        if num_items_in_batch is None:
            return total / targets.num_inputs
        if isinstance(num_items_in_batch, Tensor):
            # under nn.DataParallel the count comes once for each of n GPUs, and the loss is then multiplied by n
            num_items_in_batch = num_items_in_batch.sum()
        return total * entries / num_items_in_batch

    def _weights_on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._on_device:
            named = {"weight": self.weight, "pos_weight": self.pos_weight}
            self._on_device[device] = {name: w.to(device) for name, w in named.items() if w is not None}
        return self._on_device[device]
