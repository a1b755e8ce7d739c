"""What of transformers' training arguments a mixed loss does not go with, told before anything is trained."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend, str_to_bool
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_available


def check_options(args: TrainingArguments) -> None:
    """Refuses what would fail half way or change the loss. Looks at no device.

    Raises:
        ValueError: DeepSpeed is asked for and not installed, or an option is made for language models.
    """
    if _asked("deepspeed", args) and not is_deepspeed_available():
        raise ValueError("deepspeed is asked for and not installed: `pip install deepspeed`")
    if args.use_liger_kernel:
        raise ValueError("use_liger_kernel replaces the losses of language models: leave it out")
    if args.parallelism_config is not None:
        raise ValueError(
            "parallelism_config splits a batch's inputs or the layers, which mixing does not follow: leave it out "
            "and use several processes, or FSDP through recipes/accelerate/fsdp.yaml"
        )


def check_device(args: TrainingArguments) -> None:
    """Refuses sharding on a CPU, where accelerate would train whole copies without a word.

    Raises:
        ValueError: FSDP or DeepSpeed is asked for, by an argument or by `accelerate launch`, and there is no GPU.
    """
    for name, title in (("fsdp", "FSDP"), ("deepspeed", "DeepSpeed")):
        if args.device.type == "cpu" and _asked(name, args):
            raise ValueError(
                f"{title} is asked for, and this is a CPU: accelerate would give each process the whole net; "
                f"use recipes/accelerate/cpu_two_processes.yaml, or a machine with GPUs"
            )


@contextmanager
def smoothing_any_labels() -> Iterator[None]:
    """Without the stock Trainer's warning that label smoothing is off for multi-label nets: here it is on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label smoothing is not compatible with multi-label")
        yield


def notice_hooks(accelerator: Accelerator) -> None:
    """Lets a compiled model see that another layer mixes than in the step it was compiled in: a graph for each."""
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        torch._dynamo.config.skip_nnmodule_hook_guards = False


def _asked(name: str, args: TrainingArguments) -> bool:
    in_environment = os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false")  # what the launcher sets
    return bool(getattr(args, name)) or bool(str_to_bool(in_environment))
