"""What the commands that measure share: their processes, their test set, and where they keep what is done."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import PartialState
from torch import distributed

from hfmix.data.columns import Columns
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import load_test
from hfmix.run_folder import is_finished


@contextmanager
def processes_for(out: str | None) -> Iterator[PartialState]:
    """The processes that measure into a folder; those that were launched wait for each other and close at the end.

    Raises:
        FileExistsError: the folder holds a finished run.
    """
    if out and is_finished(Path(out)):
        raise FileExistsError(f"{out} holds a finished run, with figures of its own: set another --out")
    state = PartialState(cpu=os.environ.get("ACCELERATE_USE_CPU") == "true")
    yield state
    if distributed.is_initialized():
        state.wait_for_everyone()
        state.destroy_process_group()


def named_columns(arguments: Namespace) -> Columns:
    """The columns that the command line names."""
    return Columns(arguments.image_column_name, arguments.audio_column_name, arguments.label_column_name)


def test_set(arguments: Namespace) -> LabelledData:
    """The examples to measure on, with the classes of the data set.

    Raises:
        ValueError, ConnectionError: as `load_test`.
    """
    return load_test(
        arguments.dataset,
        arguments.split,
        named_columns(arguments),
        arguments.test_fraction,
        arguments.split_seed,
    )


def pieces(out: str | None) -> Path | None:
    """Where finished pieces are kept, so that a measurement that was stopped goes on."""
    return Path(out, ".pieces") if out else None
