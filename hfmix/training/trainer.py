"""A transformers.Trainer that mixes its training batches on the device."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer, TrainingArguments, set_seed
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput

from hfmix.losses import RowLoss
from hfmix.mixing import ERM, ManifoldMixup, MixedTargets, MixPlan, Policy, keyed_generator, mixing_at
from hfmix.mixing.inputs import mixed_inputs
from hfmix.mixing.manifold import find_layer
from hfmix.training.batches import check_batch, check_inputs, check_training_data, labels_of, main_input_of
from hfmix.training.callbacks.early_stopping import EarlyStopping, check_best_metric
from hfmix.training.callbacks.freeze_backbone import FreezeBackbone
from hfmix.training.callbacks.lookahead import average_of
from hfmix.training.callbacks.set_epoch import SetEpoch
from hfmix.training.callbacks.weight_average import WeightAverage
from hfmix.training.checkpoints import (
    check_run_facts,
    checkpoint_to_resume,
    restore_weights,
    run_facts,
    write_run_facts,
)
from hfmix.training.checks import check_trainer, hide_label_smoothing, recompile_on_hook_change
from hfmix.training.eval_padding import is_shared, without_repeats
from hfmix.training.hub_pushes import PushingTrainer
from hfmix.training.loss import TrainingLoss
from hfmix.training.lr_schedule import own_scheduler
from hfmix.training.metrics_log import TrainingLog
from hfmix.training.param_groups import read_factors, split_groups, stop_groups
from hfmix.training.sampler import balanced_sampler
from hfmix.training.values import check_warmup
from hfmix.utils.model_calls import logits_of


class MixTrainer(PushingTrainer):
    """A `transformers.Trainer` with a mixing policy, used in every other way as the stock Trainer is.

    Batches keep their labels, (N,) class indices or (N, C) soft or multi-hot, until they are on the device. There,
    in training only, a plan drawn from the key (seed, global step, micro-step, process) is applied to the model's
    inputs; masks and lengths are joined. The loss is ``sum of row losses / number of input examples`` over the
    whole accumulated batch of all processes. A resumed run draws the same plans again; two processes draw
    different ones. Evaluation does not mix and takes the labels as they are.

    Args:
        policy: the mixing policy; None takes it from `args`, a `MixTrainingArguments`, or is ERM for other
            arguments.
        row_loss: a loss of the user's own, ``fn(logits (R, C), labels) -> (R,)``, for rows that are not mixed: it
            is called for each label of the mixed rows, and the results are added up by the labels' weights
            (`hfmix.losses.mixed_row_loss`). None takes the arguments' `loss_kind`.
        *args, **kwargs: as for the stock Trainer.

    Raises:
        ValueError: a `compute_loss_func` is given, the policy mixes at a layer that the model lacks, or an option
            does not fit a mixed loss (`hfmix.training.checks.check_trainer`).
    """

    # the loss is normalised over the accumulated batch already: the Trainer must not divide it again
    loss_is_scaled_for_ga = True

    def __init__(
        self, *args: Any, policy: Policy | None = None, row_loss: RowLoss | None = None, **kwargs: Any
    ) -> None:
        if kwargs.pop("compute_loss_func", None) is not None:
            raise ValueError("MixTrainer computes the loss of mixed rows itself: leave compute_loss_func out")
        with hide_label_smoothing(args[1] if len(args) > 1 else kwargs.get("args")):
            # with such a function the stock Trainer counts the examples of an accumulated batch
            super().__init__(*args, **kwargs, compute_loss_func=self._loss)
        self.model_accepts_loss_kwargs = False
        # empty for a model that is not transformers' own, which would be given the labels in evaluation
        self.label_names = self.label_names or ["labels"]
        self.add_callback(SetEpoch())
        check_trainer(self.args, self.model, self.eval_dataset)
        self._given_policy, self._given_row_loss = policy, row_loss
        self._own_arguments = {
            name: value
            for name, value in vars(self.args).items()
            if name.startswith(("mix", "ema_", "lookahead_"))
        }
        self._average: WeightAverage | None = None
        self._freezing: FreezeBackbone | None = None
        if getattr(self.args, "early_stopping_patience", None):
            self.add_callback(EarlyStopping(self.args.early_stopping_patience))
        self._take_arguments()
        self._micro_step = (-1, 0)
        self._until_backward: ExitStack | None = None
        self._is_first_batch = True
        self._log = TrainingLog()

    def _take_arguments(self) -> None:
        """Sets what follows from the arguments: again for each trial of a search, which changes them."""
        self.policy = self._given_policy if self._given_policy is not None else _policy_of(self.args)
        parts = [part for part in self.policy.parts() if isinstance(part, ManifoldMixup)]
        hidden = {name for part in parts for name in part.layers} - {"input"}
        for layer in sorted(hidden):
            find_layer(self.model, layer)
        if hidden:
            recompile_on_hook_change(self.accelerator)
        for callback in (self._average, self._freezing):
            if callback is not None:
                self.remove_callback(callback)
        self._average = average_of(self.args)
        self._freezing = None
        if getattr(self.args, "freeze_backbone", False):
            self._freezing = FreezeBackbone(self.model, self.args.unfreeze_at_epoch)
        for callback in (self._average, self._freezing):
            if callback is not None:
                self.add_callback(callback)
        self.row_losses = TrainingLoss(
            self.args, self.model, self.train_dataset, self._label_name, self._given_row_loss
        )

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Trains, from a checkpoint if one is given; True takes the last complete one. See `transformers.Trainer`.

        Raises:
            ValueError: the checkpoint is not complete, or was written under another policy, seed, number of
                processes or batch size, so that training would not continue as it was.
        """
        if resume_from_checkpoint:
            resume_from_checkpoint = checkpoint_to_resume(self.args.output_dir, resume_from_checkpoint)
            check_run_facts(resume_from_checkpoint, run_facts(self))
        self.check_data()
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def check_data(self) -> None:
        """Raises a ValueError if training would fail on its data, or for a best metric that nothing measures."""
        check_training_data(self)
        check_best_metric(self)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """Computes the loss of a batch, mixed in training mode. See `transformers.Trainer.compute_loss`."""
        name = self._label_name
        check_batch(inputs, self.model)
        labels = labels_of(inputs, name)
        inputs = {key: value for key, value in inputs.items() if key != name}
        main_input = main_input_of(self.model, inputs)
        if self._is_first_batch:
            check_inputs(self.model, inputs)
            self._check_first_batch(labels)
        if model.training:
            if self._freezing is not None:
                self._freezing.hold_still()
            plan = self._draw_plan(inputs, labels)
            inputs = mixed_inputs(plan, inputs, main_input)
        else:
            plan = ERM().sample(len(labels))
            if is_shared(self.accelerator):
                plan = without_repeats(plan, self.accelerator)
        if getattr(self.args, "channels_last", False):
            inputs = _channels_last(inputs)
        inputs = {**inputs, "labels": plan.targets(labels)}
        self._plan = plan
        mixing = mixing_at(model, plan)
        if model.training and self._until_backward is not None:
            # activation checkpointing runs the layer again in the backward pass
            self._until_backward.enter_context(mixing)
            mixing = nullcontext()
        with mixing:
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if not model.training and is_shared(self.accelerator):
            loss = self.accelerator.reduce(loss)
        if not isinstance(outputs, dict):
            outputs = {"logits": logits_of(outputs)}  # the stock Trainer would take a tuple's first for the loss
        return (loss, outputs) if return_outputs else loss

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Runs the forward and backward pass of one micro-batch. See `transformers.Trainer.training_step`.

        Raises:
            TypeError: a subclass's `compute_loss` does not call MixTrainer's.
            FloatingPointError: the loss is not finite, on the CPU; on other devices the next log line raises it.
        """
        self._plan = None
        with ExitStack() as self._until_backward:
            self._until_backward.callback(setattr, self, "_until_backward", None)
            loss = super().training_step(model, inputs, num_items_in_batch)
        if self._plan is None:
            raise TypeError(
                f"{type(self).__name__}.compute_loss does not call MixTrainer's, so that nothing is mixed: "
                f"call super().compute_loss in it, or use transformers.Trainer"
            )
        if loss.device.type == "cpu":
            self._stop_where_not_finite()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs, with a training loss also the entries of `TrainingLog.entries`. See `transformers.Trainer.log`."""
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
        # the stock Trainer counts the labels' entries, which are C for an example with soft labels
        name = self._label_name
        for batch in batch_samples:
            check_batch(batch, self.model)
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
        main_input = inputs[main_input_of(self.model, inputs)]
        return self.policy.sample(
            len(main_input),
            tuple(main_input.shape[1:]),
            keyed_generator(self.args.seed, step, micro_step, self.args.process_index),
            labels=labels,
            inputs=main_input,
            progress=step / self.state.max_steps if self.state.max_steps else 0.0,
        )

    def _check_first_batch(self, labels: Tensor) -> None:
        """Checks, in the first batch only, that its labels fit the model and the loss."""
        config = getattr(self.model, "config", None)
        num_classes = getattr(config, "num_labels", None)
        if labels.device.type != "cpu" and num_classes:
            # once only, as it waits for the device; on the CPU the loss checks every batch
            self.row_losses.check(labels.cpu(), num_classes)
        if labels.ndim == 2 and self.row_losses.kind == "binary_cross_entropy" and config is not None:
            # saved with the model, it has a pipeline return the sigmoids that were trained
            config.problem_type = config.problem_type or "multi_label_classification"
        self._is_first_batch = False

    @property
    def _label_name(self) -> str:
        return self.label_names[0] if self.label_names else "labels"

    def _loss(self, outputs: Any, targets: MixedTargets, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits, training = logits_of(outputs), self.model.training
        rows = self.row_losses.rows(logits, targets, training)
        if training:
            self._log.add(self._plan, targets, logits, rows, self.state.global_step)
        loss = torch.dot(targets.row_weight.to(rows.dtype), rows)
        return loss / (targets.num_inputs if num_items_in_batch is None else num_items_in_batch)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | None = None) -> Tensor | None:
        if grad_norm is not None or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return super()._get_grad_norm(model, grad_norm)
        # the stock Trainer gets it by clipping to infinity, which writes every gradient again
        self.accelerator.unscale_gradients(self.optimizer)
        return get_total_norm([p.grad for p in model.parameters() if p.grad is not None])

    @staticmethod
    def get_optimizer_cls_and_kwargs(
        args: TrainingArguments, model: PreTrainedModel | None = None
    ) -> tuple[Any, Any]:
        """Returns the arguments' optimizer, fused also for SGD. See `transformers.Trainer`."""
        kind, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)
        if kind is torch.optim.SGD and not args.fsdp:
            settings["fused"] = True
        return kind, settings

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Returns the arguments' scheduler, hfmix's own where they ask for it. See `transformers.Trainer`."""
        check_warmup(self.args, num_training_steps)
        if self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        self.lr_scheduler = own_scheduler(self.args, optimizer or self.optimizer, num_training_steps)
        self._created_lr_scheduler = self.lr_scheduler is not None
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        stop_groups(scheduler, self.args.num_train_epochs, num_training_steps)
        return scheduler

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Returns the arguments' optimizer, with the groups of `param_factors`. See `transformers.Trainer`."""
        factors = read_factors(getattr(self.args, "param_factors", None)) if self.optimizer is None else {}
        optimizer = super().create_optimizer(model)
        if factors:
            split_groups(optimizer, self.model if model is None else model, factors, self.args.weight_decay)
        return optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if getattr(self.args, "sampler", "random") == "balanced":
            return balanced_sampler(dataset, self._label_name, self.args)
        return super()._get_train_sampler(train_dataset)

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """Returns the model of `model_init`, built under a search trial's seed. See `transformers.Trainer`."""
        if trial is not None:
            self._hp_search_setup(trial)
            set_seed(self.args.seed)
        return super().call_model_init(trial)

    def _hp_search_setup(self, trial: Any) -> None:
        if trial is not None:
            vars(self.args).update(self._own_arguments)  # undo the trial before
        before = _policy_of(self.args)
        super()._hp_search_setup(trial)
        if self._given_policy is not None and _policy_of(self.args) != before:
            raise ValueError("the search sets mix arguments, and MixTrainer was given a policy: leave policy out")
        if trial is not None and self.model is not None:
            self._take_arguments()

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> TrainOutput:
        # anew, in case auto_find_batch_size starts again with a smaller batch
        self._micro_step, self._log = (-1, 0), TrainingLog()
        if self._freezing is not None:
            self._freezing.prepare(self.model)
        is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if self.args.world_size > 1 and self.model_wrapped is self.model and not is_sharded:
            # an evaluation has marked the net as prepared: it would no longer become DistributedDataParallel
            self.model._is_accelerate_prepared = False
        if getattr(self.args, "channels_last", False):
            self.model.to(memory_format=torch.channels_last)
        return super()._inner_training_loop(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluates or predicts, with the averaged weights if `ema_decay` or `lookahead_steps` is set."""
        with self.averaged_weights():
            return super().evaluation_loop(*args, **kwargs)

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Gives the model, within the block, the weights to measure and publish: their average, if it is kept."""
        return nullcontext() if self._average is None else self._average.in_place_of(self.model)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        is_checkpoint = Path(output_dir or "").name.startswith(PREFIX_CHECKPOINT_DIR)
        if self._average is not None and is_checkpoint and self.args.should_save:
            self._average.save(output_dir)
        # a pickle of the arguments, which resuming does not need
        if self.args.should_save:
            Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.args.should_save:  # first, so that every complete checkpoint has them
            folder = Path(self._get_output_dir(trial=trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
            write_run_facts(folder, run_facts(self))
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
        """Returns whether the model is plain: not sharded over processes, not quantized, and without adapters."""
        return (
            isinstance(self.model, PreTrainedModel)
            and not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
            and not getattr(self.model, "_hf_peft_config_loaded", False)
            and getattr(self.model, "hf_quantizer", None) is None
        )


def _channels_last(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: x.contiguous(memory_format=torch.channels_last) if isinstance(x, Tensor) and x.ndim == 4 else x
        for name, x in inputs.items()
    }


def _policy_of(args: Any) -> Policy:
    return getattr(args, "policy", ERM)()
