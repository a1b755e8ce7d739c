"""Speed of training on a GPU with hfmix's own recipes: seconds per epoch, share of the peak, time by kernel.

PreAct ResNet-18 and WRN-28-10 on CIFAR-10 with mixup, batches of 128, data in memory on the GPU, bf16, channels
last, `torch_compile` in the modes default and reduce-overhead (CUDA graphs), and without. The peak is the
speed of a large bf16 matmul in the same run; the net's work is counted by torch's FlopCounterMode (convolutions
and matrix products, forward and backward). Seconds are of epochs without a profiler; a profile of some further
steps measures how long a step's kernels run, and the rest of the step is idle time. Further options, such as
`--optim adamw_torch_fused`, go to the recipe.
"""

import argparse
import gc
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from inputs import PATTERN, cifar10
from timing import benchmark_table, machine
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled
from hfmix.recipe import parse
from hfmix.train import load_model
from hfmix.training.trainer import MixTrainer
from hfmix.utils.environment import environment

RECIPES = Path(__file__).parents[2] / "recipes" / "cifar10"
NETS = ("preact_resnet18", "wrn28_10")
MODES = ("default", "reduce-overhead", "eager")
SETTINGS = {
    "bf16": "true",
    "channels_last": "true",
    "max_grad_norm": "0",
    "dataloader_num_workers": "0",
    "dataloader_pin_memory": "false",
    "save_strategy": "no",
    "eval_strategy": "no",
    "report_to": "none",
    "disable_tqdm": "true",
}
PROFILED_STEPS = 20
TOP = 10
DATA, OPTIMIZER, CONV, NORM, COPIES, OTHER = (
    "data and mixing",
    "optimizer",
    "conv and matmul",
    "batch norm and elementwise",
    "copies and fills",
    "other",
)
# PyTorch's own names for the ranges in which it loads data and updates weights
RANGES = {"enumerate(DataLoader)": DATA, "Optimizer.step": OPTIMIZER}
# the first pattern found in a kernel's name counts; of Inductor's kernels only templates are convolutions
KERNELS = {
    r"mix_tile": DATA,
    r"^triton_tem_": CONV,
    r"^triton_": NORM,
    r"(?i)memcpy|memset": COPIES,
    r"multi_tensor_apply|(?i:fused_?(adam|sgd))": OPTIMIZER,
    r"(?i)batch_?norm|bn_[fb]w|\bbn\b": NORM,
    r"(?i)conv|gemm|cutlass|xmma|wgrad|dgrad|fprop|nvjet|cudnn|mm\b": CONV,
    r"(?i)elementwise|reduce|pool|softmax|nll|index|gather|vectorized|cat": NORM,
}


@dataclass
class Cell:
    """The results of a net in a mode.

    Attributes:
        seconds_per_epoch: seconds of each epoch after the first, which compiles.
        images: images per epoch.
        peak_share: share of the matmul's FLOP/s.
        ms_per_step: milliseconds of kernels by group, and of idle time.
        top: the longest kernels, with their share of the kernels' time.
        note: the reason if there are no results.
    """

    net: str
    mode: str
    images: int = 0
    steps: int = 0
    first_epoch_seconds: float = 0.0
    seconds_per_epoch: list[float] = field(default_factory=list)
    gflop_per_image: float = 0.0
    peak_share: float = 0.0
    ms_per_step: dict[str, float] = field(default_factory=dict)
    top: list[tuple[str, float]] = field(default_factory=list)
    peak_memory_gib: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Kernel:
    """A kernel or range on the device, from `start` to `end` in microseconds."""

    name: str
    start: float
    end: float


class Clock(TrainerCallback):
    """A callback that times the epochs and profiles some steps of the last one.

    Attributes:
        seconds: seconds of each epoch but the last.
        profile: profile of `profiled` steps within the last epoch.
    """

    def __init__(self, device: torch.device, epochs: int, steps: int) -> None:
        self.device = device
        self.seconds: list[float] = []
        self.profiled = min(PROFILED_STEPS, steps - 1)
        activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
        self.profile = profile(activities=list({ProfilerActivity.CPU, activity}))
        self._begins_at = (epochs - 1) * steps + 1
        self._start = 0.0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Starts the clock once the device is idle."""
        self._start = self._now()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stops the clock once the device is idle."""
        if state.global_step < state.max_steps:
            self.seconds.append(self._now() - self._start)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Starts and stops the profile."""
        if state.global_step == self._begins_at:
            self._now()
            self.profile.start()
        elif state.global_step == self._begins_at + self.profiled:
            self._now()
            self.profile.stop()


def measure(cell: Cell, data: LabelledData, device: torch.device, epochs: int, options: Sequence[str]) -> Cell:
    """Fills in all of the cell but its share: one epoch compiles, `epochs` are timed, one is profiled."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = _recipe(cell, ["--num_train_epochs", str(epochs + 2), "--output_dir", folder, *options])
        model, processor = load_model(recipe, {"train": data})
        args = recipe.training
        settings = {"device": device, "channels_last": args.channels_last, "progress": False}
        examples = InMemoryExamples(data, processor, recipe.data, args.seed, **settings)
        batch_size = args.per_device_train_batch_size
        cell.images, cell.steps = len(data), -(-len(data) // batch_size)
        model.to(device)
        cell.gflop_per_image = flops(model, examples, min(8, batch_size)) / 1e9
        clock = Clock(device, epochs + 2, cell.steps)
        trainer = MixTrainer(
            model=model,
            args=args,
            train_dataset=examples,
            data_collator=InMemoryExamples.collate,
            callbacks=[clock],
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        trainer.train()
    cell.first_epoch_seconds, *cell.seconds_per_epoch = clock.seconds
    step_ms = 1e3 * statistics.median(cell.seconds_per_epoch) / cell.steps
    cell.ms_per_step, cell.top = where(clock, step_ms)
    if device.type == "cuda":
        cell.peak_memory_gib = torch.cuda.max_memory_allocated(device) / 2**30
    return cell


def _recipe(cell: Cell, options: Sequence[str]) -> Any:
    for name in ("ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DYNAMO_MODE"):
        os.environ.pop(name, None)  # set by the cell before
    settings = SETTINGS if cell.mode == "eager" else SETTINGS | {"torch_compile_mode": cell.mode}
    given = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return parse([str(RECIPES / f"mixup_{cell.net}.yaml"), *given, *options])


def flops(model: torch.nn.Module, examples: InMemoryExamples, batch_size: int) -> float:
    """Counts the FLOPs of a forward and a backward pass per image; a multiply-add counts as two."""
    batch = examples.__getitems__(list(range(batch_size)))
    model.train()
    with FlopCounterMode(display=False) as counter:
        model(pixel_values=batch["pixel_values"]).logits.sum().backward()
    model.zero_grad()
    return counter.get_total_flops() / batch_size


def where(clock: Clock, step_ms: float) -> tuple[dict[str, float], list[tuple[str, float]]]:
    """Returns a step's milliseconds by group, including idle time on a GPU, and the longest kernels."""
    kernels, ranges = on_device(clock.profile, clock.device)
    groups = dict.fromkeys((CONV, NORM, OPTIMIZER, DATA, COPIES, OTHER), 0.0)
    names: dict[str, float] = {}
    for kernel in kernels:
        milliseconds = (kernel.end - kernel.start) / 1e3 / clock.profiled
        groups[group_of(kernel, ranges)] += milliseconds
        names[kernel.name] = names.get(kernel.name, 0.0) + milliseconds
    if clock.device.type == "cuda":
        groups["idle"] = step_ms - busy(kernels) / 1e3 / clock.profiled
    total = sum(names.values())
    top = sorted(names.items(), key=lambda item: -item[1])[:TOP]
    return groups, [(name, milliseconds / total) for name, milliseconds in top]


def on_device(profiled: profile, device: torch.device) -> tuple[list[Kernel], list[Kernel]]:
    """Returns the kernels, and the named ranges around them; on a CPU, operations with their own time only."""
    kernels, ranges = [], []
    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    for event in profiled.events():
        if event.device_type != kind:
            continue
        start, end = event.time_range.start, event.time_range.end
        if event.is_user_annotation or event.name.startswith(tuple(RANGES)):
            ranges.append(Kernel(event.name, start, end))
        elif kind == DeviceType.CUDA:
            kernels.append(Kernel(event.name, start, end))
        else:
            kernels.append(Kernel(event.name, start, start + event.self_cpu_time_total))
    return kernels, ranges


def group_of(kernel: Kernel, ranges: Iterable[Kernel]) -> str:
    """Returns a kernel's group, by the range that it lies in or else by its name."""
    for around in ranges:
        if around.start <= kernel.start and kernel.end <= around.end:
            for name, group in RANGES.items():
                if around.name.startswith(name):
                    return group
    return next((group for pattern, group in KERNELS.items() if re.search(pattern, kernel.name)), OTHER)


def busy(kernels: Iterable[Kernel]) -> float:
    """Returns the microseconds in which at least one kernel runs."""
    total, until = 0.0, float("-inf")
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        total += max(0.0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return total


def matmul_peak(device: torch.device, sizes: Sequence[int], repeats: int = 20) -> float:
    """Measures the FLOP/s of a bf16 product of square matrices: the median over repeats, at the best size."""
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        seconds = []
        for i in range(repeats + 5):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            start = time.perf_counter()
            a @ b
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if i >= 5:
                seconds.append(time.perf_counter() - start)
        best = max(best, 2 * size**3 / statistics.median(seconds))
    return best


def tables(cells: Sequence[Cell], peak: float) -> str:
    """Formats the results, the parts of a step, and the longest kernels of each cell."""
    header = ["net", "mode", "s per epoch", "images per second", "of the peak", "GiB", "compiling, s"]
    rows, parts = [], []
    for cell in cells:
        if cell.note:
            rows.append([cell.net, cell.mode, cell.note, "", "", "", ""])
            continue
        seconds = statistics.median(cell.seconds_per_epoch)
        figures = [f"{seconds:.2f}", f"{cell.images / seconds:,.0f}", f"{cell.peak_share:.1%}"]
        compiling = max(0.0, cell.first_epoch_seconds - seconds)
        rows.append([cell.net, cell.mode, *figures, f"{cell.peak_memory_gib:.1f}", f"{compiling:.0f}"])
        parts.append([cell.net, cell.mode, *(f"{value:.3f}" for value in cell.ms_per_step.values())])
    blocks = [f"bf16 matmul: {peak / 1e12:.2f} TFLOP/s", benchmark_table(header, rows)]
    measured = [cell for cell in cells if not cell.note]
    if measured:
        blocks.append(
            benchmark_table(["net", "mode", *(f"{name}, ms per step" for name in measured[0].ms_per_step)], parts)
        )
        kernels = [[c.net, c.mode, f"{share:.1%}", f"`{name[:90]}`"] for c in measured for name, share in c.top]
        blocks.append(benchmark_table(["net", "mode", "of the kernels' time", "kernel"], kernels))
    return "\n\n".join(blocks)


def write(path: Path | None, cells: Sequence[Cell], peak: float, what: str) -> None:
    """Writes the results so far as JSON, atomically."""
    if path is None:
        return
    figures = {"data": what, "bf16_matmul_flops": peak, "cells": [asdict(cell) for cell in cells]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(environment(seed=0) | figures, indent=1) + "\n")
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures cell by cell, and prints the tables at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a folder with CIFAR-10's {PATTERN} [$HFMIX_DATA/cifar10]")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file after each cell")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--epochs", type=int, default=2, help="number of timed epochs")
    parser.add_argument("--minutes", type=float, default=8.0, help="start no new cell after this time")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try the script out")
    parser.add_argument(
        "--steps", type=int, help="number of batches to train on instead of all images, to try the script out"
    )
    parser.add_argument("--batch_size", type=int, default=128)
    options, others = parser.parse_known_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("training_gpu: no GPU here, nothing measured")
        return
    if options.steps is not None and options.steps < 2:
        parser.error(f"--steps is at least 2, as one of them is profiled, not {options.steps}")
    begun = time.monotonic()
    others += ["--per_device_train_batch_size", str(options.batch_size)]
    others += ["--use_cpu", "true"] if device.type == "cpu" else []
    peak = matmul_peak(device, (8192, 16384) if device.type == "cuda" else (512,))
    cells: list[Cell] = []
    with cifar10(options.data, count=50 * options.batch_size) as (folder, what):
        files = sorted(str(file) for file in folder.glob(PATTERN))
        data = as_labelled(datasets.load_dataset("parquet", data_files=files, split="train"), name="train")
        if options.steps is not None:
            data = data.select(np.arange(min(len(data), options.steps * options.batch_size)))
        for net, mode in ((net, mode) for mode in options.modes for net in options.nets):
            cell = Cell(net, mode)
            cells.append(cell)
            if time.monotonic() - begun > 60 * options.minutes:
                cell.note = f"left out: {options.minutes:g} minutes are over"
                continue
            print(f"{net}, {mode}", file=sys.stderr, flush=True)
            try:
                measure(cell, data, device, options.epochs, ["--dataset_name", str(folder), *others])
                rate = cell.images / statistics.median(cell.seconds_per_epoch)
                cell.peak_share = 1e9 * cell.gflop_per_image * rate / peak
            except Exception as error:
                reason = (str(error).splitlines() or [repr(error)])[0]
                cell.note = f"failed: {reason[:120]}"
            write(options.out, cells, peak, what)
            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()
        write(options.out, cells, peak, what)
    trial = "" if device.type == "cuda" else "A trial on the CPU: no result below is from a GPU.\n\n"
    print(f"{machine()}\n\n{trial}{what}, {len(data):,} images per epoch\n\n{tables(cells, peak)}")


if __name__ == "__main__":
    main()
