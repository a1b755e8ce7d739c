"""Checks, before training, for transformers' training arguments that do not fit a mixed loss."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend, str_to_bool
from torch import nn
from torch.utils.data import IterableDataset
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_available

from hfmix.training.param_groups import matched, read_factors


def check_trainer(args: TrainingArguments, model: nn.Module, eval_dataset: Any) -> None:
    """Runs all the checks below, on arguments of any class.

    Raises:
        ValueError: a check fails, a process would use several GPUs, or `param_factors` do not fit the model.
    """
    if args.n_gpu > 1:
        raise ValueError(
            f"{args.n_gpu} GPUs in one process: use hfmix.MixTrainingArguments, which takes one, "
            f"or start one process a GPU with `accelerate launch`"
        )
    check_options(args)
    check_device(args)
    check_batches(args, eval_dataset)
    check_embeddings(args, model)
    matched(model, read_factors(getattr(args, "param_factors", None)))


def check_options(args: TrainingArguments) -> None:
    """Refuses options that would fail in the middle of training or change the loss. Looks at no device.

    Raises:
        ValueError: DeepSpeed is asked for but not installed, an option is made for language models, checkpoints
            would be published, or sharded weights would be published at every save.
    """
    if _requested("deepspeed", args) and not is_deepspeed_available():
        raise ValueError("deepspeed is asked for but not installed: `pip install deepspeed`")
    if args.use_liger_kernel:
        raise ValueError("use_liger_kernel replaces the losses of language models: leave it out")
    strategy = getattr(args.hub_strategy, "value", args.hub_strategy)
    if strategy in ("checkpoint", "all_checkpoints"):
        raise ValueError(
            f"hub_strategy {strategy} would publish the optimizer's state, a pickle, which can run code when "
            f"it is loaded: use every_save or end; checkpoints to resume from stay on this machine"
        )
    if (
        args.push_to_hub
        and strategy == "every_save"
        and (_requested("fsdp", args) or _requested("deepspeed", args))
    ):
        raise ValueError(
            "hub_strategy every_save writes the whole net in one process, but its weights are sharded: use "
            "hub_strategy end, or push the finished run with `hfmix push`"
        )
    if args.parallelism_config is not None:
        raise ValueError(
            "parallelism_config splits a batch's inputs or the layers, which mixing does not support: leave it "
            "out and use several processes, or FSDP through recipes/accelerate/fsdp.yaml"
        )


def check_batches(args: TrainingArguments, eval_dataset: Any) -> None:
    """Refuses ways to share batches among processes with which evaluation would hang or weigh examples unequally.

    Raises:
        ValueError: several processes have `split_batches`, or no `even_batches`; or a stream is evaluated without
            `dispatch_batches`.
    """
    config = args.accelerator_config
    if args.world_size > 1 and config.split_batches:
        raise ValueError(
            "accelerator_config has split_batches, with which evaluation gives the last batch too little weight: "
            "leave it out, and divide per_device_train_batch_size and per_device_eval_batch_size by the processes"
        )
    if args.world_size > 1 and not config.even_batches:
        raise ValueError(
            "accelerator_config has no even_batches, without which processes wait for each other forever: "
            "leave it out; the examples that fill up the last batch of evaluation are not counted"
        )
    if config.dispatch_batches is False and isinstance(eval_dataset, IterableDataset):
        raise ValueError(
            "accelerator_config has dispatch_batches false, and eval_dataset is a stream, whose last batch would "
            "count as a full one: leave dispatch_batches out"
        )


def check_embeddings(args: TrainingArguments, model: nn.Module) -> None:
    """Refuses noise on the embeddings of a model that has no input embeddings.

    Raises:
        ValueError: `neftune_noise_alpha` is set for such a model.
    """
    if args.neftune_noise_alpha is None:
        return
    try:
        embeddings = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        embeddings = None
    if embeddings is None:
        raise ValueError(
            f"neftune_noise_alpha adds noise to a net's input embeddings, and {type(model).__name__} has none: "
            f"leave it out"
        )


def check_device(args: TrainingArguments) -> None:
    """Refuses sharding on a CPU, where accelerate would silently train whole copies.

    Raises:
        ValueError: FSDP or DeepSpeed is asked for, by an argument or by `accelerate launch`, and there is no GPU.
    """
    for name, title in (("fsdp", "FSDP"), ("deepspeed", "DeepSpeed")):
        if args.device.type == "cpu" and _requested(name, args):
            raise ValueError(
                f"{title} is asked for, but this is a CPU: accelerate would give each process the whole net; "
                f"use recipes/accelerate/cpu_two_processes.yaml, or a machine with GPUs"
            )


@contextmanager
def hide_label_smoothing(args: TrainingArguments | None) -> Iterator[None]:
    """Hides `label_smoothing_factor` from the stock Trainer, whose smoother takes class indices only."""
    factor = getattr(args, "label_smoothing_factor", 0.0)
    if factor:
        args.label_smoothing_factor = 0.0
    try:
        yield
    finally:
        if factor:
            args.label_smoothing_factor = factor


def recompile_on_hook_change(accelerator: Accelerator) -> None:
    """Has a compiled model recompile for each layer that mixes, instead of keeping the first layer's graph."""
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        torch._dynamo.config.skip_nnmodule_hook_guards = False


def _requested(name: str, args: TrainingArguments) -> bool:
    in_environment = os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false")  # what the launcher sets
    return bool(getattr(args, name)) or bool(str_to_bool(in_environment))
