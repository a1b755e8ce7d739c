"""Checkpoints in model_cards/: finished runs, copied as `hfmix push` would send them, under a name.

python -m experiments.papers.export_checkpoint RUN NAME [--baseline model_cards/NAME]
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.papers import ROOT
from hfmix.hub.card.baseline import write_baseline
from hfmix.hub.card.model_card import write_card
from hfmix.hub.upload.run_checks import check_finished_run, files_to_send
from hfmix.robustness.report import RobustnessReport

CARDS = ROOT / "model_cards"


def ship(run: Path, name: str, baseline: Path | None = None, cards: Path = CARDS) -> Path:
    """Makes the folder of the checkpoint `name` from a run, and returns it.

    Args:
        run: a finished run.
        name: name of the checkpoint, the card's title.
        baseline: a checkpoint's folder, to which the card compares the run.
        cards: folder to make it in; an existing one of that name is replaced.

    Raises:
        ValueError: the run is not finished, was trained on files named by absolute paths, or was measured on
            other data than the baseline.
    """
    check_finished_run(run)
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    if absolute := re.search(r"(?<=[\s'\"])(/|[A-Za-z]:\\)\S+", recipe):
        raise ValueError(
            f"{run / 'recipe.yaml'} names {absolute[0]}, which no other machine has: train with a relative path"
        )
    folder = cards / name
    shutil.rmtree(folder, ignore_errors=True)
    for file in files_to_send(run):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / file, folder / file)
    if baseline is not None:
        write_baseline(RobustnessReport.load(folder), baseline, folder)
    write_card(folder, title=name)
    check_finished_run(folder)
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    """Exports one run, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--baseline", type=Path, help="a folder of model_cards/")
    arguments = parser.parse_args(argv)
    try:
        print(ship(arguments.run, arguments.name, arguments.baseline))
    except (ValueError, OSError) as error:
        sys.exit(f"export_checkpoint: {error}")


if __name__ == "__main__":
    main()
