"""How long an evaluation will take."""

import sys
import time

import numpy as np
from tqdm.auto import tqdm

from hfmix.robustness.context import Asked, EvaluationSets, passes
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Runner
from hfmix.utils.text import duration


def say_how_long(runner: Runner, sets: EvaluationSets, asked: Asked) -> None:
    """Prints an estimate from a few timed batches of few examples."""
    few = sets.test.select(np.arange(min(len(sets.test), 2 * runner.batch_size, 64)))
    untimed = Runner(
        runner.model, runner.preprocessor, min(runner.batch_size, 32), ResultCache(None, runner.model), alone=True
    )
    with tqdm(disable=True) as bar:
        untimed.outputs(few.select(np.arange(min(len(few), 4))), bar)  # what is done once
        start = time.perf_counter()
        untimed.outputs(few, bar)
        each = (time.perf_counter() - start) / len(few)
        count = passes(sets, asked)
        # a pass back is about two forward
        seconds = each * (count["plain"] + 3 * count["attacked"] + count["between"])
        if sets.corrupted is not None:
            untimed.under_corruption(
                few.select(np.arange(min(len(few), 2))),
                asked.corruptions,
                asked.seed,
                asked.mode,
                bar,
                sets.stored,
            )
            one = few.select(np.arange(min(len(few), 16)))
            start = time.perf_counter()
            untimed.under_corruption(one, asked.corruptions, asked.seed, asked.mode, bar, sets.stored)
            seconds += (time.perf_counter() - start) / len(one) * len(sets.corrupted)
    if seconds > 60:
        about = "at most about" if sets.attacked is not None else "about"  # nothing is attacked that is broken
        print(f"robustness: this takes {about} {duration(seconds)}", file=sys.stderr, flush=True)
