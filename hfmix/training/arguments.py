"""Training options: transformers' TrainingArguments with a mixing policy."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import TrainingArguments

from hfmix.mixing import Policy, get_policy, policy_names
from hfmix.training.checks import check_device, check_options
from hfmix.training.class_weights import read_weights
from hfmix.training.lr_schedule import check_schedule
from hfmix.training.param_groups import read_factors
from hfmix.training.values import check_values, set_early_stopping
from hfmix.utils.arguments import as_mapping, check_positive


@dataclass
class MixTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with a mixing policy and what goes with it.

    Raises:
        ValueError: an unknown policy, or a setting that the policy refuses.
    """

    mix: str = field(
        default="regmixup", metadata={"help": f"Mixing policy for training: {', '.join(policy_names())}."}
    )
    mix_alpha: float | None = field(
        default=None,
        metadata={
            "help": "Strength of mixing: λ ~ Beta(alpha, alpha). Take less for large data: mixup's authors took "
            "0.1 to 0.4 on ImageNet. [regmixup 20, others 1]"
        },
    )
    mix_eta: float | None = field(
        default=None, metadata={"help": "RegMixup: weight of the mixed loss relative to the clean one. [1]"}
    )
    mix_reduction: str | None = field(
        default=None,
        metadata={"help": "RegMixup: the loss's scale, `mean`, (clean + eta mixed) / (1 + eta), or `sum`. [mean]"},
    )
    mix_settings: dict | str | None = field(
        default=None,
        metadata={
            "help": "Other settings of the policy, as a mapping (JSON on the command line), such as "
            '\'{"p": 0.5, "pairing": "derangement"}\'.'
        },
    )
    lr_drop_epochs: list[float] | None = field(
        default=None,
        metadata={
            "help": "Epochs at which the learning rate is multiplied by --lr_drop_factor, such as 100 150; needs "
            "--lr_scheduler_type constant or constant_with_warmup. With --max_steps, the drops fall at the same "
            "shares of the run."
        },
    )
    lr_drop_factor: float = field(default=0.1, metadata={"help": "Factor of each of --lr_drop_epochs."})
    lr_triangle: dict | str | None = field(
        default=None,
        metadata={
            "help": "A learning rate that rises linearly until the share `peak_at` of all steps, then falls, as a "
            'mapping (JSON on the command line) such as \'{"start": 0.2, "peak_at": 0.23, "end": 0.07}\': it '
            "starts and ends at these shares of --learning_rate; needs --lr_scheduler_type constant."
        },
    )
    param_factors: dict | str | None = field(
        default=None,
        metadata={
            "help": "Learning rate and weight decay of the parameters whose names match a regular expression, as "
            "factors of --learning_rate and --weight_decay (which biases and norms do not get otherwise), and the "
            "epoch until which they are trained, such as "
            '\'{"norm.*bias": {"lr": 64, "weight_decay": 0.1, "until_epoch": 3}}\'.'
        },
    )
    loss_kind: Literal["auto", "cross_entropy", "binary_cross_entropy", "focal"] = field(
        default="auto",
        metadata={
            "help": "Loss function. `auto`: binary_cross_entropy if the model's config says "
            "multi_label_classification, else cross_entropy. `focal` (arXiv 1708.02002): examples that are "
            "classified well already count less, by --focal_gamma."
        },
    )
    focal_gamma: float = field(
        default=2.0, metadata={"help": "--loss_kind focal: how much less they count; 0 is cross_entropy."}
    )
    class_weights: list[str] | None = field(
        default=None,
        metadata={
            "help": "Weights of the classes in the loss: `balanced`, N / (number of classes × examples of the "
            "class) over the training labels; by name, '{\"cat\": 2.0}', where others have 1; or one number a "
            "class, in the order of the class indices."
        },
    )
    pos_weight: list[str] | None = field(
        default=None,
        metadata={
            "help": "Examples with several classes: weight of a class where an example has it. `balanced`, "
            "examples without the class / examples with it; one number for all classes; one a class; or by name."
        },
    )
    sampler: Literal["random", "balanced"] = field(
        default="random",
        metadata={
            "help": "How training examples are drawn. `random`: each once an epoch. `balanced`: every class is "
            "equally likely in each draw, with replacement; an epoch has as many draws as examples."
        },
    )
    freeze_backbone: bool = field(
        default=False,
        metadata={
            "help": "Train the classifier's head alone: all else keeps its weights and its BatchNorm statistics, "
            "and has no dropout."
        },
    )
    unfreeze_at_epoch: float | None = field(
        default=None,
        metadata={
            "help": "--freeze_backbone: the epoch from which everything is trained, such as 1 or 0.5. [never]"
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop after so many evaluations without a better --metric_for_best_model (`loss` if not set), "
            "and keep the best model. Needs validation data; evaluates and saves each epoch, or by steps if "
            "--eval_strategy says so."
        },
    )
    ema_decay: float | None = field(
        default=None,
        metadata={
            "help": "Decay of an exponential moving average of the weights, such as 0.999; the average is "
            "evaluated and saved as the trained model. [no average]"
        },
    )
    lookahead_steps: int | None = field(
        default=None,
        metadata={
            "help": "Lookahead: every so many steps the weights return to a slow average, which is evaluated and "
            "saved as the trained model. [off]"
        },
    )
    lookahead_decay: float = field(
        default=0.95,
        metadata={
            "help": "Decay of Lookahead's average in one step at the end of training; it grows from 0 with the "
            "cube of the steps done."
        },
    )
    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={
            "help": "Leave losses that are not finite out of the log. MixTrainer stops at the first anyway, and "
            "this check makes a GPU wait at every step."
        },
    )
    channels_last: bool = field(
        default=False,
        metadata={
            "help": "Store images and convolution weights in the channels-last memory format, in which "
            "convolutions are faster on GPUs in 16 bits and on most CPUs."
        },
    )
    remove_unused_columns: bool = field(
        default=False,
        metadata={"help": "Drop columns that the model's forward method does not name before they are collated."},
    )

    _argument_group_name = "training (transformers.TrainingArguments, then what hfmix adds)"

    def __post_init__(self) -> None:
        self.mix_settings = as_mapping("mix_settings", self.mix_settings)
        if self.ema_decay is not None and not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"ema_decay lies in [0, 1), such as 0.999, not {self.ema_decay}")
        if not 0.0 <= self.lookahead_decay < 1.0:
            raise ValueError(f"lookahead_decay lies in [0, 1), such as 0.95, not {self.lookahead_decay}")
        if self.lookahead_steps is not None and self.ema_decay is not None:
            raise ValueError("lookahead_steps and ema_decay both average the weights: give one of them")
        check_positive(self, "lookahead_steps")
        for name in ("lr_triangle", "param_factors"):
            setattr(self, name, as_mapping(name, getattr(self, name)))
        read_factors(self.param_factors)
        self.class_weights = read_weights("class_weights", self.class_weights)
        self.pos_weight = read_weights("pos_weight", self.pos_weight, one_for_all=True)
        for name in ("mix_alpha", "mix_eta"):
            if isinstance(getattr(self, name), int):  # a search would cast its trials to the type given here
                setattr(self, name, float(getattr(self, name)))
        # before the parent's checks, which look for devices: a wrong policy should fail first
        self.policy()
        check_values(self)
        set_early_stopping(self)
        check_options(self)
        if self.bf16 and not torch.accelerator.is_available():
            self.use_cpu = True  # which transformers requires, though there is no other device
        super().__post_init__()
        check_device(self)
        check_schedule(self)

    @property
    def n_gpu(self) -> int:
        """Returns the number of GPUs of this process, at most one: several need several processes."""
        return min(super().n_gpu, 1)

    def policy(self) -> Policy:
        """Returns the mixing policy that these arguments describe."""
        settings = {"alpha": self.mix_alpha, "eta": self.mix_eta, "reduction": self.mix_reduction}
        given = {key: value for key, value in settings.items() if value is not None}
        others = self.mix_settings or {}
        for key in others.keys() & given.keys():
            raise ValueError(f"mix_{key} and mix_settings both set the policy's {key}: give one of them")
        return get_policy(self.mix, **given, **others)
