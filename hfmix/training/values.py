"""Checks of the values of training options, which transformers takes as they come, and what they imply."""

import logging
import math
from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hfmix.losses import FocalLoss
from hfmix.training.callbacks.early_stopping import falls

logger = logging.getLogger(__name__)

_SEEDS = 2**32  # NumPy's global generator takes no larger one

# name: type, smallest and largest value, what else to say
_RANGES: dict[str, tuple[type, float, float, str]] = {
    "per_device_train_batch_size": (int, 1, math.inf, ""),
    "per_device_eval_batch_size": (int, 1, math.inf, ""),
    "gradient_accumulation_steps": (int, 1, math.inf, ""),
    "num_train_epochs": (float, 0, math.inf, ""),
    "max_steps": (int, -1, math.inf, "; -1 leaves the length to num_train_epochs"),
    "learning_rate": (float, 0, math.inf, ""),
    "weight_decay": (float, 0, math.inf, ""),
    "adam_epsilon": (float, 0, math.inf, ""),
    "adam_beta1": (float, 0, 1, ""),
    "adam_beta2": (float, 0, 1, ""),
    "max_grad_norm": (float, 0, math.inf, "; 0 clips nothing"),
    "label_smoothing_factor": (float, 0, 1, ""),
    "warmup_steps": (float, 0, math.inf, "; below 1 a share of all steps"),
    "seed": (int, 0, _SEEDS - 1, ""),
    "data_seed": (int, 0, _SEEDS - 1, ""),
    "dataloader_num_workers": (int, 0, math.inf, ""),
    "dataloader_prefetch_factor": (int, 1, math.inf, ""),
    "save_total_limit": (int, 1, math.inf, ""),
    "eval_accumulation_steps": (int, 1, math.inf, ""),
    "eval_delay": (float, 0, math.inf, ""),
    "logging_steps": (float, 0, math.inf, "; below 1 a share of all steps"),
    "save_steps": (float, 0, math.inf, "; below 1 a share of all steps"),
    "eval_steps": (float, 0, math.inf, "; below 1 a share of all steps"),
    "early_stopping_patience": (int, 1, math.inf, ""),
    "unfreeze_at_epoch": (float, 0, math.inf, ""),
    "lr_drop_factor": (float, 0, 1, ""),
}


def check_values(args: Any) -> None:
    """Refuses values out of range, and converts numbers that are words, as YAML reads 1e-3.

    Raises:
        ValueError: a value is no number, or out of range, or goes with an option that is not set.
    """
    for name, (kind, low, high, more) in _RANGES.items():
        value = getattr(args, name, None)
        if value is not None:
            setattr(args, name, _number(name, value, kind, low, high, more))
    if args.max_steps == 0:
        raise ValueError("max_steps is 0, which trains nothing: set a number from 1, or leave it out")
    if args.num_train_epochs == 0 and args.max_steps < 0:
        raise ValueError("num_train_epochs is 0, which trains nothing: set a number above 0, or max_steps")
    FocalLoss(float(getattr(args, "focal_gamma", 2.0)))
    if args.save_steps == 0 and args.save_strategy == "steps":
        raise ValueError("save_steps is 0: set a number above 0, or save_strategy no")
    if args.unfreeze_at_epoch is not None:
        _check_unfreezing(args)
    if args.sampler not in ("random", "balanced"):
        raise ValueError(f"sampler is random or balanced, not {args.sampler!r}")
    if args.sampler == "balanced" and args.train_sampling_strategy != "random":
        raise ValueError(
            f"sampler balanced and train_sampling_strategy {args.train_sampling_strategy} both say in which order "
            f"examples come: leave one of them out"
        )


def check_warmup(args: Any, num_training_steps: int) -> None:
    """Warns if the learning rate will not be reached, since the warm-up is longer than the training."""
    steps = args.get_warmup_steps(num_training_steps)
    if steps >= num_training_steps and args.process_index == 0:
        logger.warning(
            "warmup_steps %d are not over after the %d steps of this training: learning rate %g is never reached",
            steps,
            num_training_steps,
            args.learning_rate,
        )


def set_early_stopping(args: Any) -> None:
    """Sets what early stopping and the best model go by, as far as it is not set."""
    if args.early_stopping_patience is not None:
        if args.eval_strategy in (IntervalStrategy.NO, "no"):
            args.eval_strategy = IntervalStrategy.EPOCH
        strategy = IntervalStrategy(args.eval_strategy)
        if args.save_strategy not in (SaveStrategy.BEST, "best"):
            args.save_strategy = SaveStrategy(strategy.value)  # the best model is one that was saved
            if strategy == IntervalStrategy.STEPS:
                args.eval_steps = args.eval_steps or args.logging_steps
                args.save_steps = args.eval_steps
        args.load_best_model_at_end = True
        args.metric_for_best_model = args.metric_for_best_model or "loss"
    if args.metric_for_best_model is not None and args.greater_is_better is None:
        args.greater_is_better = not falls(args.metric_for_best_model)


def _check_unfreezing(args: Any) -> None:
    if not args.freeze_backbone:
        raise ValueError("unfreeze_at_epoch goes with freeze_backbone: set it too")
    for name in ("fsdp", "deepspeed"):
        if getattr(args, name):
            raise ValueError(
                f"unfreeze_at_epoch does not go with {name}, which shards what is trained at the start"
            )
    if args.ddp_find_unused_parameters is False or args.ddp_static_graph:
        raise ValueError(
            "unfreeze_at_epoch changes which parameters have gradients: leave ddp_find_unused_parameters and "
            "ddp_static_graph out"
        )
    args.ddp_find_unused_parameters = True


def _number(name: str, value: Any, kind: type, low: float, high: float, more: str) -> float:
    noun = "a whole number" if kind is int else "a number"
    expected = f"{noun} from {low:g}" + (f" to {high:.10g}" if high < math.inf else "") + more
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or not low <= number <= high or (kind is int and number != int(number)):
        raise ValueError(f"{name} is {expected}, not {value!r}")
    return value if isinstance(value, int | float) else kind(number)
