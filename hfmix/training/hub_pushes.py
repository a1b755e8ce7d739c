"""A trainer's pushes to the Hub: its whole model as it is, with a card that says how far it is trained."""

import re
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel, TimmWrapperForImageClassification, Trainer
from transformers.trainer_utils import has_length
from transformers.utils import logging
from transformers.utils.hub import PushInProgress

from hfmix.data.kind_words import words_for
from hfmix.hub.upload.commit import LocalFile
from hfmix.hub.upload.publish import PushError, create_repository, push_files
from hfmix.hub.upload.run_checks import check_finished_run, check_weights, is_pickle, weight_files
from hfmix.models.loading import kind_of, save_backbone
from hfmix.run_folder import is_finished

logger = logging.get_logger(__name__)


class PushingTrainer(Trainer):
    """The part of `MixTrainer` that pushes to the Hub: each push a whole model with a card, in one commit."""

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Creates the repository to push to, on the main process. See `transformers.Trainer`."""
        if not self.is_world_process_zero():
            return
        name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        private = bool(self.args.hub_private_repo if private is None else private)
        self.hub_model_id = create_repository(name, private=private, token=token or self.args.hub_token)
        self.push_in_progress, self._pushes = None, _Pushes()

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> str | Future | None:
        """Pushes the model with its processor and a card, in one commit, and returns the repository's URL.

        If ``output_dir`` holds a finished run of these very weights, that run is pushed, as by `hfmix push`. With
        `blocking` false, returns a future of the URL. Of the stock Trainer's other keywords, which are for its
        card, only `tags` is used. Processes other than the main one do nothing and return None.
        """
        if self.hub_model_id is None:
            self.init_hf_repo(token, private)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        job = self._start_push(commit_message or "End of training", kwargs.get("tags"), token, revision)
        return job.result() if blocking else job

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if not self.is_world_process_zero() or self.args.hub_strategy == "end":
            return
        is_busy = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if is_busy and not self.args.hub_always_push:
            return
        job = self._start_push(f"Training in progress, step {self.state.global_step}")
        job.add_done_callback(_warn_of_failure)
        self.push_in_progress = PushInProgress([*(self.push_in_progress.jobs if is_busy else []), job])

    def _start_push(
        self,
        message: str,
        tags: str | list[str] | None = None,
        token: str | None = None,
        revision: str | None = None,
    ) -> Future:
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        options = {"revision": revision or self.args.hub_revision, "token": token or self.args.hub_token}
        tags = [tags] if isinstance(tags, str) else list(tags or [])
        return self._pushes.start(self, message, tags, repo_id=self.hub_model_id, **options)


class _Pushes:
    """A trainer's pushes, one after the other, in a thread beside the training."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hfmix-push")

    def start(self, trainer: Any, message: str, tags: list[str], **options: Any) -> Future:
        """Writes a snapshot of the model and starts to send it; returns a future of the repository's URL."""
        folder = tempfile.TemporaryDirectory(prefix="hfmix_push_")
        snapshot, finished = Path(folder.name), Path(trainer.args.output_dir)
        write_snapshot(trainer, snapshot, tags)
        check_weights(snapshot)

        def send() -> str:
            with folder:
                if _is_of(finished, snapshot):  # measured meanwhile: send it as `hfmix push` does
                    return push_files(finished, check_finished_run(finished), commit_message=message, **options)
                names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
                names = sorted(name for name in names if not is_pickle(name))
                return push_files(snapshot, names, commit_message=message, **options)

        return self._thread.submit(send)


def _warn_of_failure(job: Future) -> None:
    """Warns of a push that failed in the background; training goes on."""
    if error := job.exception():
        text = str(error) if isinstance(error, PushError) else f"the push failed: {type(error).__name__}: {error}"
        logger.warning(f"{text}; training goes on, and the next save will be pushed")


def write_snapshot(trainer: Any, folder: Path, tags: list[str]) -> None:
    """Writes the trainer's model as it would be published now, with its processor and a card, into a folder."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    with trainer.averaged_weights():
        if isinstance(model, TimmWrapperForImageClassification) and trainer.processing_class is not None:
            save_backbone(model, trainer.processing_class, folder)
        else:
            trainer._save(str(folder))
    (folder / "README.md").write_text(_card(trainer, model, tags), encoding="utf-8")


def _card(trainer: Any, model: Any, tags: list[str]) -> str:
    """Returns the card of a model that is not measured: what it is, how far it is trained, and what is unknown."""
    config, state, policy = getattr(model, "config", None), trainer.state, trainer.policy
    is_timm = isinstance(model, TimmWrapperForImageClassification)
    data = {"library_name": "timm" if is_timm else "transformers", "tags": ["hfmix", policy.name, *tags]}
    if isinstance(model, PreTrainedModel):
        data["pipeline_tag"] = words_for(kind_of(config)).task
    title = trainer.hub_model_id.split("/")[-1]
    architecture = getattr(config, "architecture", None) or type(model).__name__
    size = f"{len(trainer.train_dataset)} examples" if has_length(trainer.train_dataset) else "a stream"
    classes = f" of {config.num_labels} classes" if getattr(config, "num_labels", None) else ""
    evaluation = _last_evaluation(state.log_history)
    lines = [
        f"# {title}",
        f"{architecture}, trained with **{policy.name}** by hfmix on {size}{classes}: "
        f"step {state.global_step} of {state.max_steps}, epoch {state.epoch or 0:.2f}.",
        f"The policy is `{policy}`.",
        "**Its robustness is not measured yet.** Until it is, take this model for work in progress: its accuracy "
        "on corrupted input, its calibration and its behaviour on unknown input are unknown.",
        f"The last evaluation in training found {evaluation}."
        if evaluation
        else "It was not evaluated in training either.",
    ]
    front = yaml.safe_dump(data, sort_keys=True, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(lines) + "\n"


def _last_evaluation(history: list[dict[str, Any]]) -> str:
    """Returns the last evaluation's metrics in a trainer's log, in words; empty if there was none."""
    entry = next((entry for entry in reversed(history) if any(key.startswith("eval_") for key in entry)), {})
    clocks = ("_runtime", "_per_second", "_time")
    metrics = {
        key.removeprefix("eval_"): value
        for key, value in entry.items()
        if re.fullmatch(r"eval_[\w.-]+", key) and not key.endswith(clocks) and isinstance(value, int | float)
    }
    return ", ".join(f"`{key}` {value:.4g}" for key, value in metrics.items())


def _is_of(run: Path, snapshot: Path) -> bool:
    """Returns whether a folder holds a finished run with exactly the weights of a snapshot."""
    if not is_finished(run) or weight_files(run) != weight_files(snapshot):
        return False
    return all(
        (run / name).is_file() and LocalFile.read(run, name).sha256 == LocalFile.read(snapshot, name).sha256
        for name in weight_files(snapshot)
    )
