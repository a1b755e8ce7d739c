"""Training on a GPU through hfmix's own recipes: seconds an epoch, share of the peak, and where the time goes.

PreAct ResNet-18 and WRN-28-10 on CIFAR-10 with mixup, batches of 128, data in memory on the GPU, bf16, channels
last, `torch_compile` in the modes default and reduce-overhead (CUDA graphs), and without. The peak is what a large
bf16 matmul reaches in the same run, the work of the net what torch's FlopCounterMode counts (convolutions and
matrix products, forward and backward). Seconds are those of epochs without a profiler; a profile of some further
steps says how long the kernels of a step run, and what a step takes beyond that is idle. Further options go to the
recipe, such as `--optim adamw_torch_fused`.
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
# what PyTorch itself names the ranges in which it loads and in which it updates
RANGES = {"enumerate(DataLoader)": DATA, "Optimizer.step": OPTIMIZER}
# the first that is found in a kernel's name; Inductor's kernels but its templates are never the convolution itself
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
    """A net in a mode.

    Attributes:
        seconds_per_epoch: of each epoch after the first, which compiles.
        images: in an epoch.
        peak_share: of the matmul's FLOP/s.
        ms_per_step: of what the kernels do, by group, and of the idle gap.
        top: the kernels that take longest, with their share of the kernels' time.
        note: why there is no figure, if there is none.
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
    """What ran on the device, from `start` to `end` in microseconds."""

    name: str
    start: float
    end: float


class Clock(TrainerCallback):
    """Times the epochs and profiles some steps of the last.

    Attributes:
        seconds: of each epoch but the last.
        profile: of `profiled` steps, within the last epoch.
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
        """Starts the clock when the device has nothing left to do."""
        self._start = self._now()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stops it likewise."""
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
    """Fills the cell but for the share: an epoch to compile in, `epochs` that are timed, one that is profiled."""
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
        os.environ.pop(name, None)  # of the cell before
    settings = SETTINGS if cell.mode == "eager" else SETTINGS | {"torch_compile_mode": cell.mode}
    given = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return parse([str(RECIPES / f"mixup_{cell.net}.yaml"), *given, *options])


def flops(model: torch.nn.Module, examples: InMemoryExamples, batch_size: int) -> float:
    """Of a forward and a backward pass, for an image; a multiplication and an addition are two."""
    batch = examples.__getitems__(list(range(batch_size)))
    model.train()
    with FlopCounterMode(display=False) as counter:
        model(pixel_values=batch["pixel_values"]).logits.sum().backward()
    model.zero_grad()
    return counter.get_total_flops() / batch_size


def where(clock: Clock, step_ms: float) -> tuple[dict[str, float], list[tuple[str, float]]]:
    """Milliseconds of a step by group, the idle gap among them on a GPU, and the kernels that take longest."""
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


def on_device(found: profile, device: torch.device) -> tuple[list[Kernel], list[Kernel]]:
    """The kernels, and the named ranges around them; on a CPU operations for as long as they run themselves."""
    kernels, ranges = [], []
    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    for event in found.events():
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
    """The group by the range that a kernel lies in, else by its name."""
    for around in ranges:
        if around.start <= kernel.start and kernel.end <= around.end:
            for name, group in RANGES.items():
                if around.name.startswith(name):
                    return group
    return next((group for pattern, group in KERNELS.items() if re.search(pattern, kernel.name)), OTHER)


def busy(kernels: Iterable[Kernel]) -> float:
    """Microseconds in which at least one kernel runs."""
    total, until = 0.0, float("-inf")
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        total += max(0.0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return total


def matmul_peak(device: torch.device, sizes: Sequence[int], repeats: int = 20) -> float:
    """FLOP/s of a bf16 product of two square matrices, the median of repeats at the best of the sizes."""
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
    """The figures, where a step's time goes, and the longest kernels of each cell."""
    header = ["net", "mode", "s an epoch", "images a second", "of the peak", "GiB", "compiling, s"]
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
    found = [f"bf16 matmul: {peak / 1e12:.2f} TFLOP/s", benchmark_table(header, rows)]
    measured = [cell for cell in cells if not cell.note]
    if measured:
        found.append(
            benchmark_table(["net", "mode", *(f"{name}, ms a step" for name in measured[0].ms_per_step)], parts)
        )
        kernels = [[c.net, c.mode, f"{share:.1%}", f"`{name[:90]}`"] for c in measured for name, share in c.top]
        found.append(benchmark_table(["net", "mode", "of the kernels' time", "kernel"], kernels))
    return "\n\n".join(found)


def write(path: Path | None, cells: Sequence[Cell], peak: float, what: str) -> None:
    """The figures so far as JSON, whole at any moment."""
    if path is None:
        return
    figures = {"data": what, "bf16_matmul_flops": peak, "cells": [asdict(cell) for cell in cells]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(environment(seed=0) | figures, indent=1) + "\n")
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures cell by cell, and prints the tables last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a folder with CIFAR-10's {PATTERN} [$HFMIX_DATA/cifar10]")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON, after each cell")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--epochs", type=int, default=2, help="how many are timed")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin no cell after so many")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try the script out")
    parser.add_argument("--steps", type=int, help="train on so many batches instead of all images, to try it out")
    parser.add_argument("--batch_size", type=int, default=128)
    options, others = parser.parse_known_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("training_gpu: no GPU here, nothing measured")
        return
    if options.steps is not None and options.steps < 2:
        parser.error(f"--steps is 2 or more, one of them to be profiled, not {options.steps}")
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
    trial = "" if device.type == "cuda" else "Tried out on the CPU: no figure below is of a GPU.\n\n"
    print(f"{machine()}\n\n{trial}{what}, {len(data):,} images an epoch\n\n{tables(cells, peak)}")


if __name__ == "__main__":
    main()
