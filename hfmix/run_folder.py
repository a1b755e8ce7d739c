"""The folder that a training run leaves: what belongs to it, when it is finished, and how it becomes so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a finished run consists of, as glob patterns relative to its folder. Nothing else is ever pushed.
RUN_FILES = (
    "README.md",
    "config.json",
    "environment.json",
    "figures/*",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "recipe.yaml",
    "robustness.json",
    "train_results.json",
)

# The card is moved in last, so that it stands for the whole.
_SEAL = "README.md"
_STAGE = ".unfinished"


def is_finished(run: Path) -> bool:
    """Whether the folder holds a run that came to its end."""
    return (run / _SEAL).is_file() and (run / "robustness.json").is_file()


def claim(run: Path, resume: bool, overwrite: bool) -> None:
    """Makes the folder ready for training, or refuses to touch what it holds.

    Raises:
        FileExistsError: it holds a finished run, or one that stopped half way, and neither `resume` nor
            `overwrite` says what to do about it.
    """
    interrupted = bool(_checkpoints(run)) or (run / _STAGE).exists()
    if overwrite:
        _clear(run)
    elif is_finished(run):
        raise FileExistsError(
            f"{run} holds a finished run: choose another --output_dir, or pass --overwrite to replace it"
        )
    elif interrupted and not resume:
        raise FileExistsError(
            f"{run} holds a run that stopped half way: pass --resume_from_checkpoint true to go on, "
            f"or --overwrite to start again"
        )
    run.mkdir(parents=True, exist_ok=True)


@contextmanager
def finishing(run: Path) -> Iterator[Path]:
    """A folder to write the finished run into; on leaving it without an error, all moves into `run` at once.

    The checkpoints, which hold the optimizer's pickled state, go when the run is whole.
    """
    stage = run / _STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    yield stage
    for path in sorted(stage.iterdir(), key=lambda path: path.name == _SEAL):
        target = run / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    for leftover in (stage, *_checkpoints(run)):
        shutil.rmtree(leftover)


def _checkpoints(run: Path) -> list[Path]:
    return [path for path in run.glob("checkpoint-*") if path.is_dir()]


def _clear(run: Path) -> None:
    """Removes a run's own files, the seal first; what else lies in the folder stays."""
    for pattern in RUN_FILES:
        for path in run.glob(pattern):
            path.unlink()
    if (run / "figures").is_dir() and not any((run / "figures").iterdir()):
        (run / "figures").rmdir()
    for folder in (run / _STAGE, *_checkpoints(run)):
        shutil.rmtree(folder, ignore_errors=True)
