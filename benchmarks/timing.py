"""Timing alternatives side by side: what the benchmarks share."""

import gc
import itertools
import time
from collections.abc import Callable, Mapping

import torch


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest run of each call, run in turn so that a machine that slows down slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    try:
        for i in range(repeats + 2):
            for name, call in calls.items():
                start = time.perf_counter()
                result = call()
                elapsed = time.perf_counter() - start
                del result  # its memory goes back before the next call, outside the time measured
                if i >= 2:
                    seconds[name].append(elapsed)
    finally:
        gc.enable()
    return {name: min(values) for name, values in seconds.items()}


def peak_bytes(call: Callable[[], object]) -> int:
    """The most CPU memory that torch held at once beyond what it held before the call."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        result = call()
    del result
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_order = sorted(events, key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in in_order), default=0)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
