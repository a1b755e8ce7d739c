"""Early stopping, with a patience that survives resuming, and the check of what it goes by."""

from typing import Any

import numpy as np
import torch
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_utils import EvalPrediction

# measured names of which less is better
_FALLING = ("loss", "error", "nll", "ece", "brier", "fpr", "mse", "mae", "perplexity", "runtime")


def falls(metric: str) -> bool:
    """Returns whether less of a metric is better, by its name: that of a loss, an error, a calibration error."""
    words = metric.lower().replace("-", "_").split("_")
    return any(
        word.startswith(fall) if fall in ("fpr", "ece") else word == fall for word in words for fall in _FALLING
    )


class EarlyStopping(EarlyStoppingCallback):
    """transformers' `EarlyStoppingCallback`, which counts again, in a run that resumes, what it had counted."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts the evaluations since the best one in the log."""
        super().on_train_begin(args, state, control, **kwargs)
        name = _logged(args.metric_for_best_model)
        best, self.early_stopping_patience_counter = None, 0
        for value in (entry[name] for entry in state.log_history if name in entry):
            is_better = best is None or (value > best if args.greater_is_better else value < best)
            self.early_stopping_patience_counter = 0 if is_better else self.early_stopping_patience_counter + 1
            best = value if is_better else best

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        """Counts an evaluation of the set that has the metric; of several sets, each is evaluated alone."""
        if _logged(args.metric_for_best_model) in metrics:
            super().on_evaluate(args, state, control, metrics, **kwargs)


def _logged(metric: str) -> str:
    return metric if metric.startswith("eval_") else f"eval_{metric}"


def check_best_metric(trainer: Trainer) -> None:
    """Raises a ValueError, before training, if evaluation will not measure `metric_for_best_model`.

    `compute_metrics` is called on random logits to find out what it measures; where it cannot be, nothing is
    checked.
    """
    args = trainer.args
    name = args.metric_for_best_model
    if name is None or args.eval_strategy == "no":
        return
    measured = _measured_by(trainer)
    name = name.removeprefix("eval_")
    if measured is None:
        return
    sets = list(trainer.eval_dataset) if isinstance(trainer.eval_dataset, dict) else []
    possible = [f"{prefix}_{metric}" for prefix in sets for metric in measured] or measured
    if name not in possible and not name.endswith(("runtime", "_per_second")):
        raise ValueError(
            f"metric_for_best_model is {name!r}, and evaluation measures {', '.join(possible)}: set it to one"
        )


def _measured_by(trainer: Trainer) -> list[str] | None:
    """Returns the names that an evaluation measures, without the speeds; None if they cannot be told."""
    if trainer.compute_metrics is None:
        return ["loss"]
    config = getattr(trainer.model, "config", None)
    num_classes = getattr(config, "num_labels", None)
    if not num_classes or trainer.args.batch_eval_metrics:
        return None
    labels = np.arange(2 * num_classes) % num_classes
    if getattr(config, "problem_type", None) == "multi_label_classification":
        labels = np.eye(num_classes, dtype=np.float32)[labels]
    logits = np.random.default_rng(0).normal(size=(len(labels), num_classes)).astype(np.float32)
    try:
        if trainer.preprocess_logits_for_metrics is not None:
            logits = trainer.preprocess_logits_for_metrics(torch.from_numpy(logits), torch.from_numpy(labels))
            logits = logits.numpy() if isinstance(logits, torch.Tensor) else logits
        metrics = trainer.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
        return ["loss", *(str(name).removeprefix("eval_") for name in metrics)]
    except Exception:  # a metric of the user's own that random logits do not suit: evaluation will tell
        return None
