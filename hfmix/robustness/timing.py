"""An estimate of how long an evaluation will take."""

import sys
import time
from collections.abc import Sequence

import numpy as np

from hfmix.robustness.axes.base import Axis, Context
from hfmix.utils.text import duration


def say_how_long(axes: Sequence[Axis], context: Context) -> None:
    """Prints an estimate from a few timed batches of few examples, where it exceeds a minute."""
    few = context.test.select(np.arange(min(len(context.test), 2 * context.runner.batch_size, 64)))
    trial = context.trial(batch_size=32)
    trial.runner.outputs(few.select(np.arange(min(len(few), 4))), trial.bar)  # what is done once
    start = time.perf_counter()
    trial.runner.outputs(few, trial.bar)
    one_pass = (time.perf_counter() - start) / len(few)
    seconds = one_pass * len(context.test) + sum(axis.seconds(trial, one_pass) for axis in axes)
    if seconds > 60:
        about = "at most about" if any(axis.stops_early for axis in axes) else "about"
        print(f"robustness: this takes {about} {duration(seconds)}", file=sys.stderr, flush=True)
