"""Copies finished runs into model_cards/, each as what `hfmix push` would send, under a checkpoint's name.

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
    """The folder of the checkpoint `name`, made of the run.

    Args:
        run: finished.
        name: of the checkpoint, the card's title.
        baseline: a checkpoint's folder whose figures stand on the card beside the run's.
        cards: where the folder is made; one of that name is replaced.

    Raises:
        ValueError: the run is not finished, was trained on files named by a path from the root of one machine, or
            was measured on other data than the baseline.
    """
    check_finished_run(run)
    recipe = (run / "recipe.yaml").read_text(encoding="utf-8")
    if absolute := re.search(r"(?<=[\s'\"])(/|[A-Za-z]:\\)\S+", recipe):
        raise ValueError(
            f"{run / 'recipe.yaml'} names {absolute[0]}, which is on no other machine: train with a relative path"
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
    """Ships one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--baseline", type=Path, help="a folder of model_cards/")
    asked = parser.parse_args(argv)
    try:
        print(ship(asked.run, asked.name, asked.baseline))
    except (ValueError, OSError) as error:
        sys.exit(f"ship: {error}")


if __name__ == "__main__":
    main()
