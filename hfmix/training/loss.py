"""The loss of a `MixTrainer`: its kind, the weights of the classes, and a loss of the user's own."""

from typing import Any

import torch
from torch import Tensor

from hfmix.losses import (
    FocalLoss,
    RowLoss,
    balanced_class_weights,
    balanced_pos_weight,
    mixed_binary_cross_entropy,
    mixed_cross_entropy,
    mixed_row_loss,
)
from hfmix.mixing import ERM, MixedTargets
from hfmix.training.class_weights import BALANCED, resolve_weights, training_labels

LOSS_KINDS = ("auto", "cross_entropy", "binary_cross_entropy", "focal")


class TrainingLoss:
    """The loss of mixed rows, before row weights and reduction.

    Args:
        args: the training arguments; those of `MixTrainingArguments` are looked for and not required.
        model: the model, whose config may name the classes and tell whether examples have several.
        dataset: the training data, whose labels "balanced" weights are worked out from.
        label_name: the name of the labels in a batch.
        row_loss: a loss of the user's own; see `hfmix.losses.mixed_row_loss`.

    Attributes:
        weights: the weights that were given, worked out, by option and class; empty if there are none.

    Raises:
        ValueError: the weights do not fit the classes, or the options contradict each other.
    """

    def __init__(
        self, args: Any, model: Any, dataset: Any, label_name: str, row_loss: RowLoss | None = None
    ) -> None:
        self._args, self._config = args, getattr(model, "config", None)
        self._dataset, self._label_name = dataset, label_name
        kind = getattr(args, "loss_kind", "auto")
        if row_loss is not None and kind != "auto":
            raise ValueError(f"row_loss is the whole loss, and loss_kind is {kind}: leave one of them out")
        self.row_loss = FocalLoss(args.focal_gamma) if kind == "focal" else row_loss
        given = {name: getattr(args, name, None) for name in ("class_weights", "pos_weight")}
        self._check(kind, given["pos_weight"])
        names = getattr(self._config, "id2label", None)
        self._class_names = None if not names else [str(names[index]) for index in sorted(names)]
        balanced = {"class_weights": self._balanced, "pos_weight": self._balanced_positives}
        resolved = {
            name: resolve_weights(name, value, self._class_names, balanced[name]) for name, value in given.items()
        }
        # without known classes, one number for all of them
        resolved["pos_weight"] = given["pos_weight"] if resolved["pos_weight"] is None else resolved["pos_weight"]
        self._resolved = {name: value for name, value in resolved.items() if value is not None}
        self.weights = {
            name: dict(zip(self._class_names or map(str, range(len(value))), value, strict=True))
            for name, value in self._resolved.items()
            if isinstance(value, list)
        }
        # copying them in every step would stall the GPU
        self._on_device: dict[torch.device, dict[str, Tensor]] = {}

    @property
    def kind(self) -> str:
        """Returns "cross_entropy", "binary_cross_entropy", or "row_loss" for a focal loss and the user's own."""
        if self.row_loss is not None:
            return "row_loss"
        kind = getattr(self._args, "loss_kind", "auto")
        if kind != "auto":
            return kind
        return "binary_cross_entropy" if self._is_multi_label else "cross_entropy"

    def rows(self, logits: Tensor, targets: MixedTargets, training: bool) -> Tensor:
        """Computes the losses (R,) of logits (R, C); labels are smoothed in training only."""
        if self.row_loss is not None:
            weight = self._weights_on(logits.device).get("weight")
            return mixed_row_loss(logits, targets, self.row_loss, weight=weight, reduction="none")
        loss = mixed_cross_entropy if self.kind == "cross_entropy" else mixed_binary_cross_entropy
        smoothing = self._args.label_smoothing_factor if training else 0.0
        weights = self._weights_on(logits.device)
        return loss(logits, targets, label_smoothing=smoothing, reduction="none", **weights)

    def check(self, labels: Tensor, num_classes: int) -> None:
        """Raises a ValueError if labels, which lie on the CPU, do not fit the classes and the loss."""
        targets, logits = ERM().sample(len(labels)).targets(labels), torch.zeros(len(labels), num_classes)
        loss = mixed_binary_cross_entropy if self.kind == "binary_cross_entropy" else mixed_cross_entropy
        if self.row_loss is None or labels.ndim == 1:
            loss(logits, targets)

    def _check(self, kind: str, pos_weight: Any) -> None:
        smoothing = getattr(self._args, "label_smoothing_factor", 0.0)
        if self.row_loss is not None and smoothing:
            name = "loss_kind focal" if kind == "focal" else "row_loss"
            raise ValueError(f"{name} has no label smoothing: leave label_smoothing_factor out")
        if kind == "focal" and self._is_multi_label:
            raise ValueError(
                "loss_kind focal is for one class an example, and these can have several: leave it out; "
                "pos_weight balanced makes up for rare classes"
            )
        if pos_weight is not None and self.kind != "binary_cross_entropy":
            raise ValueError(
                f"pos_weight weighs the positives of a binary cross-entropy, and the loss is "
                f"{'focal' if kind == 'focal' else self.kind}: set class_weights instead, or loss_kind "
                f"binary_cross_entropy"
            )

    @property
    def _is_multi_label(self) -> bool:
        return getattr(self._config, "problem_type", None) == "multi_label_classification"

    def _weights_on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._on_device:
            named = {"class_weights": "weight", "pos_weight": "pos_weight"}
            self._on_device[device] = {
                named[name]: torch.tensor(value, dtype=torch.float32, device=device)
                for name, value in self._resolved.items()
            }
        return self._on_device[device]

    def _training_labels(self, name: str) -> Any:
        if self._dataset is None:
            raise ValueError(f"{name} {BALANCED} is worked out from the training data: give a train_dataset")
        return training_labels(self._dataset, self._label_name, f"{name} {BALANCED}")

    def _balanced(self) -> Tensor:
        labels = self._training_labels("class_weights")
        if self.kind == "binary_cross_entropy" and labels.ndim == 2:
            raise ValueError(
                "class_weights balanced weighs classes of which each example has one, and these can have several: "
                "set pos_weight balanced"
            )
        num_classes = len(self._class_names) if self._class_names else int(labels.max()) + 1
        return balanced_class_weights(labels, num_classes)

    def _balanced_positives(self) -> Tensor:
        labels = self._training_labels("pos_weight")
        if labels.ndim == 1:
            num_classes = len(self._class_names) if self._class_names else int(labels.max()) + 1
            labels = torch.eye(num_classes)[torch.as_tensor(labels).long()]
        return balanced_pos_weight(labels)
