"""What a trainer pushes to the Hub: its model as it is, whole, with a card that says how far it is."""

import re
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel, TimmWrapperForImageClassification
from transformers.trainer_utils import has_length
from transformers.utils import logging

from hfmix.data.kind_words import words_for
from hfmix.hub.upload.commit import LocalFile
from hfmix.hub.upload.publish import PushError, push_files
from hfmix.hub.upload.run_checks import check_finished_run, check_weights, is_pickle, weight_files
from hfmix.models.loading import kind_of, save_backbone
from hfmix.run_folder import is_finished

logger = logging.get_logger(__name__)


class Pushes:
    """The pushes of one trainer, one after the other, in a thread beside the training."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hfmix-push")

    def start(self, trainer: Any, message: str, tags: list[str], **options: Any) -> Future:
        """Writes a snapshot of the model now, and begins to send it; the result is the repository's URL."""
        folder = tempfile.TemporaryDirectory(prefix="hfmix_push_")
        snapshot, finished = Path(folder.name), Path(trainer.args.output_dir)
        write_snapshot(trainer, snapshot, tags)
        check_weights(snapshot)

        def send() -> str:
            with folder:
                if _is_of(finished, snapshot):  # measured since: what `hfmix push` sends
                    return push_files(finished, check_finished_run(finished), commit_message=message, **options)
                names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
                names = sorted(name for name in names if not is_pickle(name))
                return push_files(snapshot, names, commit_message=message, **options)

        return self._thread.submit(send)


def warn_of_failure(job: Future) -> None:
    """Tells of a push that failed beside the training, which goes on."""
    if error := job.exception():
        text = str(error) if isinstance(error, PushError) else f"the push failed: {type(error).__name__}: {error}"
        logger.warning(f"{text}; training goes on, and the next save is pushed again")


def write_snapshot(trainer: Any, folder: Path, tags: list[str]) -> None:
    """Writes the trainer's model as it would be published now, its processor and a card into a folder."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    with trainer.averaged_weights():
        if isinstance(model, TimmWrapperForImageClassification) and trainer.processing_class is not None:
            save_backbone(model, trainer.processing_class, folder)
        else:
            trainer._save(str(folder))
    (folder / "README.md").write_text(_card(trainer, model, tags), encoding="utf-8")


def _card(trainer: Any, model: Any, tags: list[str]) -> str:
    """The card of a model that is not measured: what it is, how far it is trained, and what is not known."""
    config, state, policy = getattr(model, "config", None), trainer.state, trainer.policy
    is_timm = isinstance(model, TimmWrapperForImageClassification)
    data = {"library_name": "timm" if is_timm else "transformers", "tags": ["hfmix", policy.name, *tags]}
    if isinstance(model, PreTrainedModel):
        data["pipeline_tag"] = words_for(kind_of(config)).task
    title = trainer.hub_model_id.split("/")[-1]
    architecture = getattr(config, "architecture", None) or type(model).__name__
    size = f"{len(trainer.train_dataset)} examples" if has_length(trainer.train_dataset) else "a stream"
    classes = f" of {config.num_labels} classes" if getattr(config, "num_labels", None) else ""
    found = _last_evaluation(state.log_history)
    lines = [
        f"# {title}",
        f"{architecture}, trained with **{policy.name}** by hfmix on {size}{classes}: "
        f"step {state.global_step} of {state.max_steps}, epoch {state.epoch or 0:.2f}.",
        f"The policy is `{policy}`.",
        "**Its robustness is not measured yet.** Until it is, take this model for work in progress: its accuracy "
        "on corrupted input, its calibration and what it says of unknown input are unknown.",
        f"The last evaluation in training found {found}." if found else "It was not evaluated in training either.",
    ]
    front = yaml.safe_dump(data, sort_keys=True, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(lines) + "\n"


def _last_evaluation(history: list[dict[str, Any]]) -> str:
    """The figures of the last evaluation in a trainer's log, in words; empty where there was none."""
    entry = next((entry for entry in reversed(history) if any(key.startswith("eval_") for key in entry)), {})
    clocks = ("_runtime", "_per_second", "_time")
    found = {
        key.removeprefix("eval_"): value
        for key, value in entry.items()
        if re.fullmatch(r"eval_[\w.-]+", key) and not key.endswith(clocks) and isinstance(value, int | float)
    }
    return ", ".join(f"`{key}` {value:.4g}" for key, value in found.items())


def _is_of(run: Path, snapshot: Path) -> bool:
    """Whether a folder holds a finished run with exactly the weights of a snapshot."""
    if not is_finished(run) or weight_files(run) != weight_files(snapshot):
        return False
    return all(
        (run / name).is_file() and LocalFile.read(run, name).sha256 == LocalFile.read(snapshot, name).sha256
        for name in weight_files(snapshot)
    )
