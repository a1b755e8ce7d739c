"""Sweeps: several recipes under several seeds, trained one after the other, and one table of all results."""

import fcntl
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.state import AcceleratorState, GradientState

from hfmix.recipe import parse
from hfmix.robustness.across_seeds import shown_headlines, summarise, sweep_text
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import begin, is_begun, is_finished
from hfmix.train import train
from hfmix.training.callbacks.stop_after import OutOfTimeError
from hfmix.utils.environment import hardware, versions
from hfmix.utils.errors import UsageError, one_line
from hfmix.utils.text import duration

# options that a sweep sets itself, with what to do instead
_REFUSED = {
    "seed": "give --seeds",
    "output_dir": "give --out",
    "resume_from_checkpoint": "a sweep resumes by itself",
    "stop_after": "give --stop_after before the recipes' options",
    "num_processes": "a sweep trains in this one process; start `hfmix train` for several",
}


@dataclass(frozen=True)
class Run:
    """One training of a sweep.

    Attributes:
        name: the recipe's name.
        seed: the training's seed.
        folder: the run's folder.
        argv: the command line for `hfmix.recipe.parse`.
        settings: every option with its value.
    """

    name: str
    seed: int
    folder: Path
    argv: list[str]
    settings: dict[str, Any]

    @property
    def record(self) -> Path:
        """Returns the file with an unfinished run's settings; a finished run's folder holds its own."""
        return self.folder.with_name(f"{self.folder.name}.yaml")

    def changed_settings(self) -> list[str] | None:
        """Returns the settings that differ from those of the run in the folder; None if those are not known."""
        file = self.folder / "recipe.yaml" if is_finished(self.folder) else self.record
        if not file.is_file():
            return None
        before, now = yaml.safe_load(file.read_text(encoding="utf-8")), _plain(self.settings)
        # output_dir aside, since one folder can be written in several ways
        return sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k != "output_dir")


def sweep(
    recipes: Sequence[str | Path],
    seeds: Sequence[int],
    out: str | Path,
    options: Sequence[str] = (),
    vary_split: bool = False,
    overwrite: bool = False,
    stop_after: float | None = None,
) -> str:
    """Trains each recipe under each seed, each into ``out/RECIPE/seedK``, and puts the reports into one table.

    All recipes are trained under one seed before the next seed. Runs that are finished with the same settings are
    left as they are, one that was interrupted resumes from its last checkpoint, and one that fails does not stop
    the others. A run's result does not depend on the runs before it. Several processes can work on one sweep: each
    leaves the runs that another one trains at the time. ``sweep.md``, ``sweep.json`` and ``sweep.png`` are written
    into `out` after each run; see `summarise`.

    Args:
        recipes: the recipes' paths. A recipe is named after its file, with folders if that is not unique.
        seeds: the seeds of training, and with `vary_split` of the parts held out from the training data.
        out: a folder for the runs and the table.
        options: further options of `hfmix train`, for all runs.
        vary_split: hold out another part for each seed.
        overwrite: train again the runs that were begun with other settings.
        stop_after: seconds after which the sweep stops, at a checkpoint of the run that it is training; None for
            never. The same call goes on from there.

    Returns:
        The table, as Markdown.

    Raises:
        UsageError: a recipe, option or seed is wrong; nothing is trained.
        FileExistsError: a folder holds a run with other settings.
        RuntimeError: some runs failed, or the time was over before all were trained; the table holds the others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(f"several processes: {_REFUSED['num_processes']}")
    runs = _plan(recipes, seeds, Path(out), options, vary_split)
    waiting = [run for run in runs if not (is_finished(run.folder) and run.changed_settings() == [])]
    if not overwrite:
        for run in waiting:
            _check_settings(run)
    end = None if stop_after is None else time.monotonic() + stop_after
    failures, elsewhere, is_over = _train_all(waiting, runs, Path(out), end)
    text = _write_tables(runs, Path(out), failures)
    if failures:
        for (name, seed), message in failures.items():
            _say(f"failed: {name}, seed {seed}: {message}")
        raise RuntimeError(
            f"{len(failures)} of {len(runs)} runs failed; the same command tries them again and leaves the others"
        )
    if is_over:
        done = sum(is_finished(run.folder) and run.changed_settings() == [] for run in runs)
        raise OutOfTimeError(
            f"stopped after {duration(stop_after)}, as stop_after says: {done} of {len(runs)} runs are finished; "
            f"the same command goes on"
        )
    if elsewhere:
        names = ", ".join(f"{run.name} seed {run.seed}" for run in elsewhere)
        _say(f"left to other processes, and not in the table yet unless finished: {names}")
    return text


def _plan(
    recipes: Sequence[str | Path], seeds: Sequence[int], out: Path, options: Sequence[str], vary_split: bool
) -> list[Run]:
    """Returns all runs, seed by seed, after checking every recipe and option."""
    refused = {**_REFUSED, **({"split_seed": "--vary_split gives the seed's"} if vary_split else {})}
    for option in options:
        name = option.partition("=")[0].lstrip("-").replace("-", "_")
        if option.startswith("--") and name in refused:
            raise UsageError(f"a sweep takes no --{name}: {refused[name]}")
    if not recipes or not seeds:
        raise UsageError("a sweep needs at least one recipe and one seed")
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError(f"seeds are distinct whole numbers from 0, not {' '.join(map(str, seeds))}")
    runs = []
    for seed in seeds:
        for name, path in zip(_names(recipes), recipes, strict=True):
            folder = out / name / f"seed{seed}"
            argv = [str(path), *options, "--seed", str(seed), "--output_dir", str(folder)]
            argv += ["--split_seed", str(seed)] if vary_split else []
            runs.append(Run(name, seed, folder, argv, parse(argv).resolved))
    return runs


def _names(recipes: Sequence[str | Path]) -> list[str]:
    """Names the recipes after their files, with as many folders before as it takes to tell them apart."""
    paths = [Path(path).resolve().with_suffix("") for path in recipes]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"the recipe {path}.yaml is given twice")
    for depth in range(1, max(len(path.parts) for path in paths)):
        names = ["-".join(path.parts[1:][-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _check_settings(run: Run) -> None:
    """Raises a FileExistsError if the folder holds a run that was begun with other settings."""
    if not (is_finished(run.folder) or is_begun(run.folder)) or (changed := run.changed_settings()) == []:
        return
    what = "is not this sweep's" if changed is None else f"was begun with another {', '.join(changed[:5])}"
    raise FileExistsError(
        f"the run in {run.folder} {what}: choose another --out, or pass --overwrite to replace it"
    )


def _train_all(
    waiting: Sequence[Run], runs: Sequence[Run], out: Path, end: float | None
) -> tuple[dict[tuple[str, int], str], list[Run], bool]:
    """Trains the waiting ones of the runs, until `end` by the monotonic clock, and writes the tables after each.

    Returns:
        The error of each that failed, by name and seed; those that other processes are training; and whether the
        time was over before the last.
    """
    failures, elsewhere, start, trained = {}, [], time.monotonic(), 0
    num_finished = len(runs) - len(waiting)
    for i, run in enumerate(waiting):
        with _locked(run) as is_ours:
            if not is_ours:
                elsewhere.append(run)
                _say(f"run {i + 1} of {len(waiting)}: another process trains {run.name}, seed {run.seed}")
                continue
            if is_finished(run.folder) and run.changed_settings() == []:
                continue  # by another process, since this one began
            left = (time.monotonic() - start) / trained * (len(waiting) - i) if trained else None
            remaining = "" if left is None else f"; about {duration(left)} left"
            before = f", {num_finished} finished before" if num_finished else ""
            _say(f"run {i + 1} of {len(waiting)}{before}: {run.name}, seed {run.seed}{remaining}")
            seconds = None if end is None else end - time.monotonic()
            if seconds is not None and seconds <= 0:
                return failures, elsewhere, True
            try:
                message = _train_one(run, seconds)
            except OutOfTimeError:
                return failures, elsewhere, True
        trained += 1
        if message is not None:
            failures[run.name, run.seed] = message
            _say(f"failed: {message}")
        if i + 1 < len(waiting):
            _write_tables(runs, out, failures)
    return failures, elsewhere, False


@contextmanager
def _locked(run: Run) -> Iterator[bool]:
    """Keeps other processes from training the run, within the block; False if another one does.

    The system releases the lock of a process that dies.
    """
    path = run.folder.with_name(f"{run.folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # the one before removed it in the meantime
            try:
                yield True
            finally:
                path.unlink()
            return


def _train_one(run: Run, stop_after: float | None) -> str | None:
    """Trains or resumes one run; returns its error in one line, or None.

    Raises:
        OutOfTimeError: after so many seconds, at a checkpoint.
    """
    resumes = is_begun(run.folder) and run.changed_settings() == []
    how = ["--resume_from_checkpoint", "true"] if resumes else ["--overwrite"]
    how += [] if stop_after is None else ["--stop_after", f"{stop_after:f}s"]
    try:
        with _as_in_its_own_process():
            recipe = parse([*run.argv, *how])
            if is_begun(run.folder) and not resumes:
                begin(run.folder, overwrite=True)  # its checkpoints do not fit the record written next
            run.record.parent.mkdir(parents=True, exist_ok=True)
            run.record.write_text(yaml.safe_dump(_plain(run.settings), allow_unicode=True), encoding="utf-8")
            train(recipe)
            run.record.unlink()
    except OutOfTimeError:
        raise
    except Exception as error:
        if os.environ.get("HFMIX_DEBUG"):
            traceback.print_exception(error)
        return one_line(error)
    return None


@contextmanager
def _as_in_its_own_process() -> Iterator[None]:
    """Undoes, after the block, what a training leaves in the process: global settings, and memory."""
    environment = dict(os.environ)
    deterministic = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    tf32 = torch.backends.cuda.matmul.allow_tf32
    _forget_accelerator()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = cudnn
        torch.backends.cuda.matmul.allow_tf32 = tf32
        _forget_accelerator()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _forget_accelerator() -> None:
    """Resets accelerate's state: otherwise all runs would have the first one's device and precision."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def _write_tables(runs: Sequence[Run], out: Path, failures: dict[tuple[str, int], str]) -> str:
    from hfmix.robustness.presentation.sweep import draw_sweep

    reports: dict[str, dict[int, RobustnessReport]] = {run.name: {} for run in runs}
    for run in runs:
        if is_finished(run.folder) and (run.name, run.seed) not in failures:
            reports[run.name][run.seed] = RobustnessReport.load(run.folder)
    summary, shown = summarise(reports), shown_headlines(reports)
    failed = {f"{name}, seed {seed}": message for (name, seed), message in failures.items()}
    text = sweep_text(summary, shown) if summary else ""
    text += "".join(f"\nFailed: {which}: {message}\n" for which, message in failed.items())
    out.mkdir(parents=True, exist_ok=True)
    content = {"recipes": summary, "failed": failed, "versions": versions(), "hardware": hardware()}
    _replace(out / "sweep.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    _replace(out / "sweep.md", text)
    if summary:
        draw_sweep(summary, shown, out / "sweep.png")
    return text


def _replace(path: Path, text: str) -> None:
    """Writes a file whole, though other processes of the sweep may write it too."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings as they are read back from a file, so that both can be compared."""
    return yaml.safe_load(yaml.safe_dump(settings))


def _say(message: str) -> None:
    print(f"sweep: {message}", file=sys.stderr, flush=True)
