"""A transformers.Trainer that mixes its training batches on the device."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel, Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput, has_length

from hfmix.losses import logits_of, mixed_binary_cross_entropy, mixed_cross_entropy
from hfmix.mixing import ERM, ManifoldMixup, MixedTargets, MixPlan, Policy, keyed_generator, mixing_at
from hfmix.mixing.manifold import find_layer
from hfmix.mixing.plan import LENGTH_NAMES, MASK_NAMES
from hfmix.mixing.targets import check_classes
from hfmix.training.ema import WeightAverage
from hfmix.training.epochs import TellEpoch
from hfmix.training.log import TrainingLog
from hfmix.training.lr_drops import dropping
from hfmix.training.restore import check_run_facts, checkpoint_to_resume, restore_weights, write_run_facts

_JOINED = frozenset(MASK_NAMES + LENGTH_NAMES)


class MixTrainer(Trainer):
    """`transformers.Trainer` with a mixing policy; in every other way it is used as the stock Trainer is.

    Batches keep their labels, (N,) class indices or (N, C) soft or multi-hot, until they are on the device. There,
    in training only, a plan drawn from the key (seed, global step, micro-step, process) is applied to the model's
    inputs, masks and lengths being joined, and the loss is ``sum of row losses / number of input examples`` over
    the whole accumulated batch of all processes. Resuming gives the same plans again; two processes draw different
    ones. Evaluation sees the labels as they are, without mixing.

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
        self._log = TrainingLog()
        decay = getattr(self.args, "ema_decay", None)
        self._average = None if decay is None else WeightAverage(decay)
        if self._average is not None:
            self.add_callback(self._average)
        self._weights: Tensor | None = None

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Trains, from a checkpoint on if one is given; True takes the last whole one. See `transformers.Trainer`.

        Raises:
            ValueError: the checkpoint is not whole, or was written under another policy, seed, number of processes
                or batch size, so that the training would not go on as it was.
        """
        if resume_from_checkpoint:
            resume_from_checkpoint = checkpoint_to_resume(self.args.output_dir, resume_from_checkpoint)
            check_run_facts(resume_from_checkpoint, self._run_facts())
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of a batch, mixed if the model is in training mode. See `transformers.Trainer.compute_loss`."""
        name = self._label_name
        labels = inputs.get(name)
        if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or not len(labels):
            kind = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise ValueError(
                f"the batch's {name!r} are {kind}: MixTrainer takes (N,) class indices, (N, C) soft or multi-hot"
            )
        inputs = {key: value for key, value in inputs.items() if key != name}
        num_classes = getattr(getattr(self.model, "config", None), "num_labels", None)
        if self._unchecked_labels and labels.ndim == 1 and labels.device.type != "cpu" and num_classes:
            # once, for it waits for the device; on the CPU the loss checks every batch
            check_classes(labels, num_classes)
            self._unchecked_labels = False
        if model.training:
            plan = self._draw_plan(inputs, labels)
            inputs = self._mixed(plan, inputs)
        else:
            plan = self._without_repeats(ERM().sample(len(labels)))
        inputs = {**inputs, "labels": plan.targets(labels)}
        self._plan = plan
        with mixing_at(model, plan):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of one micro-batch. See `transformers.Trainer.training_step`.

        Raises:
            FloatingPointError: on the CPU, the loss is not finite; on other devices the next log line raises it.
        """
        loss = super().training_step(model, inputs, num_items_in_batch)
        if loss.device.type == "cpu":
            self._stop_where_not_finite()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs, beside a training loss what `TrainingLog.entries` describes. See `transformers.Trainer.log`."""
        if "loss" in logs and self._log.on_device is not None:
            self._stop_where_not_finite()
            sums = self.accelerator.gather(self._log.on_device.unsqueeze(0)).sum(0)
            logs = {**logs, **self._log.entries(sums)}
        super().log(logs, start_time)

    def _stop_where_not_finite(self) -> None:
        bad = self._log.first_bad()
        if bad is not None:
            step, row = bad
            raise FloatingPointError(
                f"the loss is not finite in step {step}, first in row {row} of a batch of process "
                f"{self.args.process_index}: look for NaN or infinite inputs there, or lower the learning rate, "
                f"{self.args.learning_rate}"
            )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor | int | None:
        # the stock Trainer counts the entries of the labels, of which soft ones have C an example
        name = self._label_name
        examples = [
            {"labels": torch.zeros(len(batch[name]), device=batch[name].device)}
            for batch in batch_samples
            if isinstance(batch.get(name), Tensor)
        ]
        return super()._get_num_items_in_batch(examples, device)

    def _draw_plan(self, inputs: dict[str, Any], labels: Tensor) -> MixPlan:
        step = self.state.global_step
        micro_step = self._micro_step[1] + 1 if self._micro_step[0] == step else 0
        self._micro_step = (step, micro_step)
        main_input = inputs[self._main_input_name]
        return self.policy.sample(
            len(main_input),
            tuple(main_input.shape[1:]),
            keyed_generator(self.args.seed, step, micro_step, self.args.process_index),
            labels=labels,
            inputs=main_input,
            progress=step / self.state.max_steps if self.state.max_steps else 0.0,
        )

    def _mixed(self, plan: MixPlan, inputs: dict[str, Any]) -> dict[str, Any]:
        main = self._main_input_name
        others = sorted(name for name, value in inputs.items() if name != main and not _can_mix(name, value))
        if others:
            raise ValueError(
                f"the batch holds {', '.join(others)} beside {main} and labels: hfmix mixes floating-point inputs "
                f"and joins masks and lengths called {', '.join(MASK_NAMES + LENGTH_NAMES)}; remove the rest in "
                f"the data set or the collator"
            )
        if plan.layer is None:
            return plan.apply(inputs)
        # the layer mixes what comes out of the inputs; what counts there is where any of a row's sources is real
        return {**inputs, **plan.apply({name: inputs[name] for name in _JOINED & inputs.keys()})}

    def _without_repeats(self, plan: MixPlan) -> MixPlan:
        """The plan of a batch of evaluation, with weight 0 for examples that only fill up the last batch.

        Of several processes each has a full last batch, with examples from the beginning again. The Trainer leaves
        their predictions out, but counts a process's mean loss once for each example that is new.
        """
        state, rows = self.accelerator.gradient_state, plan.num_rows
        if self.args.world_size == 1 or not state.end_of_dataloader or state.remainder <= 0:
            return plan
        new = min(max(state.remainder - self.args.process_index * rows, 0), rows)
        return replace(plan, row_weight=(torch.arange(rows) < new) * (rows / max(new, 1)))

    @property
    def _label_name(self) -> str:
        return self.label_names[0] if self.label_names else "labels"

    @property
    def _main_input_name(self) -> str:
        return getattr(self.model, "main_input_name", "pixel_values")

    def _loss(self, outputs: Any, targets: MixedTargets, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits, training = logits_of(outputs), self.model.training
        losses = {"cross_entropy": mixed_cross_entropy, "binary_cross_entropy": mixed_binary_cross_entropy}
        rows = losses[self._loss_kind](
            logits,
            targets,
            weight=self._class_weights(logits.device),
            label_smoothing=self.args.label_smoothing_factor if training else 0.0,
            reduction="none",
        )
        if training:
            self._log.add(self._plan, targets, logits, rows, self.state.global_step)
        loss = torch.dot(targets.row_weight.to(rows.dtype), rows)
        return loss / (targets.num_inputs if num_items_in_batch is None else num_items_in_batch)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The scheduler of the arguments, `lr_drop_epochs` among them. See `transformers.Trainer`."""
        if self.lr_scheduler is None and getattr(self.args, "lr_drop_epochs", None):
            self.lr_scheduler = dropping(self.args, optimizer or self.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    @property
    def _loss_kind(self) -> str:
        kind = getattr(self.args, "loss_kind", "auto")
        if kind != "auto":
            return kind
        config = getattr(self.model, "config", None)
        multi_label = getattr(config, "problem_type", None) == "multi_label_classification"
        return "binary_cross_entropy" if multi_label else "cross_entropy"

    def _class_weights(self, device: torch.device) -> Tensor | None:
        given = getattr(self.args, "class_weights", None)
        if given is None:
            return None
        if self._weights is None or self._weights.device != device:
            self._weights = torch.tensor([float(weight) for weight in given], device=device)
        return self._weights

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluates or predicts, with the average of the weights where `ema_decay` is set."""
        if self._average is None:
            return super().evaluation_loop(*args, **kwargs)
        with self._average.in_place_of(self.model):
            return super().evaluation_loop(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        is_checkpoint = Path(output_dir or "").name.startswith(PREFIX_CHECKPOINT_DIR)
        if self._average is not None and is_checkpoint and self.args.should_save:
            self._average.save(output_dir)
        # a pickle of the arguments, which resuming does not read
        if self.args.should_save:
            Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.args.should_save:  # first, so that no whole checkpoint is without
            folder = Path(self._get_output_dir(trial=trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
            write_run_facts(folder, self._run_facts())
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if model is None and self._restores_all:
            restore_weights(self.model, resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._average is not None:
            self._average.load(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if self._restores_all and best is not None and Path(best).is_dir():
            restore_weights(self.model, best)
        else:
            super()._load_best_model()
        if self._average is not None and best is not None:
            self._average.load(best)

    @property
    def _restores_all(self) -> bool:
        """Whether the model is a plain one: not sharded over processes, not quantized, and without adapters."""
        return (
            isinstance(self.model, PreTrainedModel)
            and not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
            and not getattr(self.model, "_hf_peft_config_loaded", False)
            and getattr(self.model, "hf_quantizer", None) is None
        )

    def _run_facts(self) -> dict[str, Any]:
        """What the order of the data and the draws of a run follow from."""
        facts = {
            "policy": self.policy.to_dict(),
            "num_train_examples": len(self.train_dataset) if has_length(self.train_dataset) else None,
            "seed": self.args.seed,
            "data_seed": self.args.data_seed,
            "world_size": self.args.world_size,
            "per_device_train_batch_size": self._train_batch_size,
            "gradient_accumulation_steps": self.args.gradient_accumulation_steps,
        }
        if not has_length(self.train_dataset):  # workers share a stream, and its order follows from them
            facts["dataloader_num_workers"] = self.args.dataloader_num_workers
        if self.args.auto_find_batch_size:
            del facts["per_device_train_batch_size"]  # the stock Trainer takes it from the checkpoint
        return facts


def _can_mix(name: str, value: Any) -> bool:
    """Whether a model's input beside the main one has a mixture: token ids, flags and unknown masks have none."""
    return name in _JOINED or (isinstance(value, Tensor) and value.is_floating_point() and "mask" not in name)
