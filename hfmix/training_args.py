"""TrainingArguments with a mixing policy."""

from dataclasses import dataclass, field

from transformers import TrainingArguments

from hfmix.mixing import Policy, get_policy, policy_names


@dataclass
class MixTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` and what to mix.

    Raises:
        ValueError: an unknown policy, or a setting that the policy refuses.
    """

    mix: str = field(
        default="regmixup", metadata={"help": f"What to mix in training: {', '.join(policy_names())}."}
    )
    mix_alpha: float | None = field(
        default=None,
        metadata={
            "help": "The strength: λ ~ Beta(alpha, alpha). [mixup 1, regmixup 20; less for large data, "
            "mixup used 0.1 to 0.4 on ImageNet]"
        },
    )
    mix_eta: float | None = field(
        default=None, metadata={"help": "RegMixup's weight of the mixed loss against the clean one. [1]"}
    )
    mix_reduction: str | None = field(
        default=None,
        metadata={"help": "RegMixup's scale: `mean`, (clean + eta mixed) / (1 + eta), or `sum`. [mean]"},
    )
    remove_unused_columns: bool = field(
        default=False,
        metadata={"help": "Drop columns that the model's forward does not name before they are collated."},
    )

    _argument_group_name = "training (transformers.TrainingArguments, then what hfmix adds)"

    def __post_init__(self) -> None:
        # before the parent, which reaches for devices: a wrong policy should fail first
        self.policy()
        super().__post_init__()

    @property
    def n_gpu(self) -> int:
        """GPUs of this process, one at most: several take several processes, not DataParallel."""
        return min(super().n_gpu, 1)

    def policy(self) -> Policy:
        """The mixing policy that these arguments describe."""
        settings = {"alpha": self.mix_alpha, "eta": self.mix_eta, "reduction": self.mix_reduction}
        return get_policy(self.mix, **{key: value for key, value in settings.items() if value is not None})
