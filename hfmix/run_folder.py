"""The folder of a training run: its files, whether it is finished, and how it is begun and finished."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The files of a finished run, as glob patterns relative to its folder. Nothing else is ever pushed.
RUN_FILES = (
    ".eval_results/*.yaml",
    "README.md",
    "baseline.json",
    "config.json",
    "environment.json",
    "figures/*",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "predictions.safetensors",
    "preprocessor_config.json",
    "recipe.yaml",
    "report.html",
    "robustness.csv",
    "robustness.json",
    "train_results.json",
)

# They can run code when they are loaded: never pushed, even if a pattern above matches, and never downloaded.
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})

# The card is moved in last, so that it seals the run.
_SEAL = "README.md"
# Exists while a run is under way; the finished files are gathered in it.
_STAGE = ".unfinished"


def is_finished(run: Path) -> bool:
    """Returns whether the folder holds a finished run."""
    return (run / _SEAL).is_file() and (run / "robustness.json").is_file() and not (run / _STAGE).exists()


def is_begun(run: Path) -> bool:
    """Returns whether the folder holds a run that was interrupted or is still under way."""
    return not is_finished(run) and ((run / _STAGE).exists() or bool(_checkpoints(run)))


def check_free(run: Path, resume: bool, overwrite: bool) -> None:
    """Refuses a folder whose content a run would destroy. Changes nothing.

    Raises:
        FileExistsError: the folder holds a finished run and `overwrite` is false, or an interrupted one and
            `resume` is false too; or it holds other files under names that a run needs.
    """
    if is_finished(run):
        if not overwrite:
            raise FileExistsError(
                f"{run} holds a finished run: choose another --output_dir, or pass --overwrite to replace it"
            )
    elif is_begun(run):
        if not (resume or overwrite):
            raise FileExistsError(
                f"{run} holds a run that was interrupted, or that is still under way: "
                f"pass --resume_from_checkpoint true to resume it, or --overwrite to start again"
            )
    elif foreign := _files(run):
        raise FileExistsError(
            f"{run} is not a run's folder, and a run would replace its {foreign[0].relative_to(run)}: "
            f"choose another --output_dir"
        )


def begin(run: Path, overwrite: bool) -> None:
    """Marks the folder as a run under way; with `overwrite`, the old run's files are deleted first.

    Call it after `check_free`, and after everything that can fail before training starts.
    """
    if overwrite:
        for path in sorted(_files(run), key=lambda path: path.name != _SEAL):
            path.unlink()
        for folder in (run / _STAGE, *_checkpoints(run)):
            shutil.rmtree(folder, ignore_errors=True)
    (run / _STAGE).mkdir(parents=True, exist_ok=True)


@contextmanager
def finishing(run: Path) -> Iterator[Path]:
    """Yields a folder to write the finished run into; when the block ends without an error, all moves into `run`.

    The checkpoints, which hold the optimizer's pickled state, are deleted once the run is complete.
    """
    stage = run / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    yield stage
    for path in sorted(stage.rglob("*"), key=lambda path: path.name == _SEAL):
        if path.is_file():
            target = run / path.relative_to(stage)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    for leftover in (*_checkpoints(run), stage):
        shutil.rmtree(leftover)


def _checkpoints(run: Path) -> list[Path]:
    return [path for path in run.glob("checkpoint-*") if path.is_dir()]


def _files(run: Path) -> list[Path]:
    return [path for pattern in RUN_FILES for path in run.glob(pattern) if path.is_file()]


def training_seconds(results: Mapping[str, Any]) -> float:
    """Returns the duration of the whole training from the content of ``train_results.json``.

    For a run that was resumed, the Trainer's own time covers the last part only; the speeds in the log cover all.
    """
    seconds, epoch = 0.0, 0.0
    for entry in results["log_history"]:
        if results["num_train_samples"] and (speed := entry.get("examples_per_second")):
            seconds += (entry["epoch"] - epoch) * results["num_train_samples"] / speed
            epoch = entry["epoch"]
    return max(seconds, results["metrics"]["train_runtime"])
