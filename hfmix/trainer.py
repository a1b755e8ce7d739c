"""A transformers.Trainer that mixes its training batches on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME

from hfmix.epochs import TellEpoch
from hfmix.losses import logits_of, mixed_cross_entropy
from hfmix.lr_drops import dropping
from hfmix.mixing import ERM, ManifoldMixup, MixedTargets, MixPlan, Policy, keyed_generator, mixing_at
from hfmix.mixing.manifold import find_layer
from hfmix.mixing.targets import check_classes


class MixTrainer(Trainer):
    """`transformers.Trainer` with a mixing policy; in every other way it is used as the stock Trainer is.

    Batches keep integer labels until they are on the device. There, in training only, a plan drawn from the key
    (seed, global step, micro-step, process) is applied to the model's main input, and the loss is
    ``sum of row losses / number of input examples`` over the whole accumulated batch of all processes. Resuming
    gives the same plans again; two processes draw different ones. Evaluation sees hard labels without mixing.

    Args:
        policy: what to mix; None takes it from `args`, a `MixTrainingArguments`, or is ERM for other arguments.
        *args, **kwargs: the stock Trainer's.

    Raises:
        ValueError: a `compute_loss_func` is given, several GPUs are used without a launcher, or the policy mixes
            at a layer that the model lacks.
    """

    # the loss is normalised over the accumulated batch, so that the Trainer must not divide it once more
    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, policy: Policy | None = None, **kwargs: Any) -> None:
        if kwargs.pop("compute_loss_func", None) is not None:
            raise ValueError("MixTrainer computes the loss of mixed rows itself: leave compute_loss_func out")
        # given to the stock Trainer, which then counts the examples of an accumulated batch for it
        super().__init__(*args, **kwargs, compute_loss_func=self._loss)
        self.model_accepts_loss_kwargs = False
        self.add_callback(TellEpoch())
        if self.args.n_gpu > 1:
            raise ValueError(
                f"{self.args.n_gpu} GPUs in one process: use hfmix.MixTrainingArguments, which takes one, "
                f"or start one process a GPU with `accelerate launch`"
            )
        from_args: Callable[[], Policy] = getattr(self.args, "policy", ERM)
        self.policy = policy if policy is not None else from_args()
        for part in self.policy.parts():
            for layer in part.layers if isinstance(part, ManifoldMixup) else ():
                if layer != "input":
                    find_layer(self.model, layer)
        self._micro_step = (-1, 0)
        self._unchecked_labels = True

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of a batch, mixed if the model is in training mode. See `transformers.Trainer.compute_loss`."""
        labels = inputs.get("labels")
        if labels is None or labels.is_floating_point():
            kind = "no labels" if labels is None else f"labels of shape {tuple(labels.shape)} {labels.dtype}"
            raise ValueError(f"the batch has {kind}: MixTrainer takes integer class indices, (N,), under `labels`")
        num_classes = getattr(getattr(self.model, "config", None), "num_labels", None)
        if self._unchecked_labels and labels.device.type != "cpu" and num_classes:
            # once, for it waits for the device; on the CPU the loss checks every batch
            check_classes(labels, num_classes)
            self._unchecked_labels = False
        if model.training:
            plan = self._draw_plan(inputs)
            inputs = self._mixed(plan, inputs)
        else:
            plan = ERM().sample(len(labels))
        inputs = {**inputs, "labels": plan.targets(labels)}
        with mixing_at(model, plan):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _draw_plan(self, inputs: dict[str, Any]) -> MixPlan:
        step = self.state.global_step
        micro_step = self._micro_step[1] + 1 if self._micro_step[0] == step else 0
        self._micro_step = (step, micro_step)
        main_input = inputs[self._main_input_name]
        return self.policy.sample(
            len(main_input),
            tuple(main_input.shape[1:]),
            keyed_generator(self.args.seed, step, micro_step, self.args.process_index),
            labels=inputs["labels"],
            inputs=main_input,
            progress=step / self.state.max_steps if self.state.max_steps else 0.0,
        )

    def _mixed(self, plan: MixPlan, inputs: dict[str, Any]) -> dict[str, Any]:
        others = inputs.keys() - {self._main_input_name, "labels"}
        if others:
            raise ValueError(
                f"the batch holds {', '.join(sorted(others))} beside {self._main_input_name} and labels: "
                f"hfmix mixes one input, remove the rest in the data set or the collator"
            )
        if plan.layer is not None:
            return inputs
        return {self._main_input_name: plan.apply(inputs[self._main_input_name])}

    @property
    def _main_input_name(self) -> str:
        return getattr(self.model, "main_input_name", "pixel_values")

    def _loss(self, outputs: Any, targets: MixedTargets, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        smoothing = self.args.label_smoothing_factor if self.model.training else 0.0
        loss = mixed_cross_entropy(logits_of(outputs), targets, label_smoothing=smoothing, reduction="sum")
        return loss / (targets.num_inputs if num_items_in_batch is None else num_items_in_batch)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The scheduler of the arguments, `lr_drop_epochs` among them. See `transformers.Trainer`."""
        if self.lr_scheduler is None and getattr(self.args, "lr_drop_epochs", None):
            self.lr_scheduler = dropping(self.args, optimizer or self.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # a pickle of the arguments, which resuming does not read
        if self.args.should_save:
            Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)
