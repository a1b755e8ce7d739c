"""Helpers of all benchmarks: timing alternatives in turn, peak memory, tables."""

import gc
import itertools
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from hfmix.utils.environment import versions

Name = TypeVar("Name")


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Times each call's fastest run in seconds, in turn so that a machine that slows down slows all of them."""
    return {name: min(values) for name, values in rounds(calls, repeats).items()}


def rounds(calls: Mapping[Name, Callable[[], object]], repeats: int, warm_up: int = 2) -> dict[Name, list[float]]:
    """Times each call in each round in seconds, all calls in turn; the first `warm_up` rounds do not count."""
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    gc.disable()
    try:
        for i in range(warm_up + repeats):
            for name, call in calls.items():
                start = time.perf_counter()
                result = call()
                elapsed = time.perf_counter() - start
                del result  # frees its memory before the next call, outside the measured time
                if i >= warm_up:
                    seconds[name].append(elapsed)
    finally:
        gc.enable()
    return seconds


def peak_bytes(call: Callable[[], object]) -> int:
    """Measures torch's peak CPU memory during the call in bytes, beyond what it held before."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        result = call()
    del result
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_order = sorted(events, key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in in_order), default=0)


def benchmark_table(header: list[str], rows: list[list[str]]) -> str:
    """Formats a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Describes the machine and the versions in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = (
        f"{models[0] if models else platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    )
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return "; ".join([cpu, *gpus, ", ".join(f"{name} {version}" for name, version in versions().items())])
