"""Resuming from a checkpoint: from the last complete one, with every tensor, and only in the same run."""

import copy
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel, Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import has_length
from transformers.utils import logging as transformers_logging

from hfmix.utils.errors import one_line

logger = logging.getLogger(__name__)

# the file in which MixTrainer keeps what a run's data order and draws depend on
RUN_FACTS = "hfmix.json"


def restore_weights(model: PreTrainedModel, checkpoint: str | Path) -> None:
    """Copies every tensor of a checkpoint into `model`, in place: dtypes and devices stay as they are.

    The checkpoint is read by ``from_pretrained``, which knows the older names that ``save_pretrained`` writes,
    even for a model that was changed after it was built, such as by a new head. Safetensors only.

    Raises:
        ValueError: the checkpoint cannot be read, lacks tensors, has other ones, or some of another shape; the
            message names the first of them. The model is left as it was.
    """
    try:
        state = _read(model, Path(checkpoint))
    except ValueError as error:
        raise ValueError(f"cannot restore {type(model).__name__} from {checkpoint}: {error}") from error
    model.load_state_dict(state, strict=True)


def last_whole_checkpoint(run_folder: str | Path) -> str | None:
    """Returns the newest complete checkpoint in a run's folder, or None if there is none, as early in a run.

    Each newer one that is damaged is named in a warning of one line.
    """
    folders = [path for path in Path(run_folder).glob("checkpoint-*") if path.is_dir()]
    steps = {int(number[1]): path for path in folders if (number := re.fullmatch(r"checkpoint-(\d+)", path.name))}
    for step in sorted(steps, reverse=True):
        damage = what_is_broken(steps[step])
        if damage is None:
            return str(steps[step])
        if os.environ.get("RANK", "0") == "0":  # once, not in each process
            logger.warning("%s is not complete (%s): resuming from the one before it", steps[step], damage)
    return None


def checkpoint_to_resume(run_folder: str | Path, given: str | Path | bool) -> str:
    """Returns the checkpoint for ``Trainer.train(resume_from_checkpoint=given)``; for True the last complete one.

    Raises:
        ValueError: `given` is not complete, or no checkpoint in the folder is.
    """
    if given is True:
        last = last_whole_checkpoint(run_folder)
        if last is None:
            raise ValueError(f"no complete checkpoint in {run_folder} to resume from")
        return last
    damage = what_is_broken(given) if Path(given).is_dir() else "no such folder"
    if damage is not None:
        raise ValueError(f"cannot resume from {given}: {damage}; True takes the last complete one")
    return str(given)


def what_is_broken(checkpoint: str | Path) -> str | None:
    """Returns why training cannot resume from a checkpoint, in a few words; None if it is complete.

    Only the beginning and the length of each file are checked, which is quick for large ones.
    """
    checkpoint = Path(checkpoint)
    state = checkpoint / TRAINER_STATE_NAME  # written last
    if not state.is_file():
        return f"no {TRAINER_STATE_NAME}"
    weights = {*checkpoint.glob("*.safetensors")}
    for file in (state, *checkpoint.glob("*.index.json")):
        try:
            content = json.loads(file.read_text())
        except ValueError:
            return f"{file.name} is not JSON"
        if file is not state:
            weights.update(checkpoint / shard for shard in content.get("weight_map", {}).values())
    for file in sorted(weights):
        try:
            with safe_open(file, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            return f"{file.name}: {one_line(error)}"
    for file in sorted([*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]):
        if not zipfile.is_zipfile(file):
            return f"{file.name} is cut off"
    others = (path for path in checkpoint.iterdir() if path.is_dir() or path.suffix == ".bin")
    return None if weights or any(others) else "no weights"


def run_facts(trainer: Trainer) -> dict[str, Any]:
    """Returns the settings that the data order and the draws of a `MixTrainer`'s run depend on."""
    args, data = trainer.args, trainer.train_dataset
    facts = {
        "policy": trainer.policy.to_dict(),
        "num_train_examples": len(data) if has_length(data) else None,
        "seed": args.seed,
        "data_seed": args.data_seed,
        "world_size": args.world_size,
        "per_device_train_batch_size": trainer._train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "sampler": getattr(args, "sampler", "random"),
        "data_in_memory": getattr(data, "in_memory", False),  # it draws other shifts
    }
    if not has_length(trainer.train_dataset):  # workers share a stream, whose order depends on them
        facts["dataloader_num_workers"] = args.dataloader_num_workers
    if args.auto_find_batch_size:
        del facts["per_device_train_batch_size"]  # the stock Trainer takes it from the checkpoint
    return facts


def write_run_facts(checkpoint: str | Path, facts: Mapping[str, Any]) -> None:
    """Writes the facts that `check_run_facts` compares into a checkpoint."""
    Path(checkpoint).mkdir(parents=True, exist_ok=True)
    Path(checkpoint, RUN_FACTS).write_text(json.dumps(facts, indent=1) + "\n")


def check_run_facts(checkpoint: str | Path, facts: Mapping[str, Any]) -> None:
    """Refuses a checkpoint from which this training would not continue as the one that wrote it.

    A checkpoint without facts, written by the stock Trainer, is accepted.

    Raises:
        ValueError: the checkpoint was written under other `facts`; the message names them.
    """
    file = Path(checkpoint, RUN_FACTS)
    if not file.is_file():
        return
    try:
        written = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}): delete it to resume without the check") from error
    now = json.loads(json.dumps(facts))  # tuples become lists
    others = [name for name in now if written.get(name, now[name]) != now[name]]
    if others:
        was = "; ".join(f"{name} {written[name]}, now {now[name]}" for name in others)
        raise ValueError(
            f"{checkpoint} was written with {was}: data order and draws would not continue as they were; "
            f"resume with the same settings, or delete its {RUN_FACTS} to resume anyway"
        )


def _read(model: PreTrainedModel, checkpoint: Path) -> dict[str, Tensor]:
    """Reads the checkpoint's tensors under the model's names and in its shapes, onto the CPU.

    Raises:
        ValueError: they do not fit the model; the message is one line.
    """
    try:
        with _quiet():
            loaded, loading_info = _like(model).from_pretrained(
                checkpoint,
                config=copy.deepcopy(model.config),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
                use_safetensors=True,
                local_files_only=True,
            )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(one_line(error)) from error
    if loading_info["missing_keys"]:
        raise ValueError(f"it lacks {_first(loading_info['missing_keys'])}")
    if loading_info["mismatched_keys"]:
        raise ValueError(f"it has another shape of {_first(name for name, *_ in loading_info['mismatched_keys'])}")
    if loading_info["unexpected_keys"]:
        raise ValueError(f"the model lacks its {_first(loading_info['unexpected_keys'])}")
    return loaded.state_dict()


def _like(model: PreTrainedModel) -> type[PreTrainedModel]:
    """Returns a subclass of the model's class that builds the modules that the model has now, a new head too."""

    def empty_copy(cls: type, config: Any) -> PreTrainedModel:
        tensors = (*model.parameters(), *model.buffers())
        return copy.deepcopy(model, {id(tensor): _empty(tensor) for tensor in tensors})

    return type(
        type(model).__name__, (type(model),), {"__new__": empty_copy, "__module__": type(model).__module__}
    )


def _empty(tensor: Tensor) -> Tensor:
    """Returns a tensor, or parameter, of the same shape and dtype without storage."""
    empty = torch.empty_like(tensor, device="meta")
    return torch.nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else empty


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences transformers' report of a load, which becomes one line here, and its progress bars."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _first(names: Iterable[str], count: int = 3) -> str:
    names = sorted(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"{', '.join(names[:count])}{more}"
