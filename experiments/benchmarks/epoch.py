"""Speed of training a ResNet-20 on CIFAR-10: as in transformers' example, then with one more switch each time.

The stock Trainer reads as the example's script does, with two workers; MixTrainer trains with mixup. Each way runs
in its own process, and its rate is the median over its steps after the first, which compile and fill the caches.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from inputs import PATTERN, cifar10
from loading import BATCH, Source, stock
from timing import benchmark_table, machine
from transformers import Trainer, TrainerCallback, TrainingArguments

from hfmix import MixTrainer, MixTrainingArguments, Mixup, load_backbone
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.splits import as_labelled

WARM_UP = 8
STOCK = "transformers' Trainer and example"
LAYOUT, HALF, COMPILED = {"channels_last": True}, {"bf16": True}, {"torch_compile": True}
WAYS: dict[str, dict[str, Any]] = {
    STOCK: {},
    "MixTrainer, data in memory": {},
    "and channels last": LAYOUT,
    "and bf16": LAYOUT | HALF,
    "and torch_compile": LAYOUT | HALF | COMPILED,
}


class Steps(TrainerCallback):
    """A record of when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Records the end of a step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def images_a_second(way: str, folder: Path, steps: int) -> float:
    """Measures one way in this process, in images per second."""
    model, processor = load_backbone("resnet20_cifar", [str(i) for i in range(10)], pretrained=False)
    cfg, device = model.config.pretrained_cfg, "cuda" if torch.cuda.is_available() else "cpu"
    images = (WARM_UP + steps) * BATCH
    source = Source(folder, images, torch.device(device), tuple(cfg["mean"]), tuple(cfg["std"]), processor)
    clock = Steps()
    with tempfile.TemporaryDirectory() as out:
        settings = {
            "output_dir": out,
            "per_device_train_batch_size": BATCH,
            "max_steps": WARM_UP + steps,
            "learning_rate": 0.05,
            "optim": "sgd",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": device == "cpu",
            "remove_unused_columns": False,
            "dataloader_pin_memory": False,
            **WAYS[way],
        }
        if way == STOCK:
            loader = stock(source, 0)
            args = TrainingArguments(**settings, dataloader_num_workers=2)
            trainer = Trainer(model, args, loader.collate_fn, loader.dataset, callbacks=[clock])
        else:
            args = MixTrainingArguments(**settings)
            data = as_labelled(source.dataset(), name="train")
            memory = InMemoryExamples(
                data, processor, source.augment(), 0, args.device, args.channels_last, progress=False
            )
            trainer = MixTrainer(model, args, memory.collate, memory, callbacks=[clock], policy=Mixup())
        trainer.train()
    ends = clock.ends[WARM_UP:]
    return BATCH / statistics.median(later - earlier for earlier, later in pairwise(ends))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or with `--way` one rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a folder with CIFAR-10's {PATTERN} [$HFMIX_DATA/cifar10]")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--way", choices=list(WAYS), help="measure only this way, in this process")
    options = parser.parse_args(arguments)
    with cifar10(options.data, count=(WARM_UP + options.steps) * BATCH) as (folder, what):
        if options.way is not None:
            print(json.dumps(images_a_second(options.way, folder, options.steps)))
            return
        rates = {way: _in_its_own_process(way, folder, options.steps) for way in WAYS}
    rows = [
        [way, f"{rate:,.0f}", f"{50_000 / rate:.0f} s", f"{rate / rates[STOCK]:.2f} ×"]
        for way, rate in rates.items()
    ]
    print(f"{machine()}\n\n{what}, ResNet-20, batches of {BATCH}, {options.steps} steps\n")
    print(benchmark_table(["way", "images per second", "50,000 images", "÷ the first"], rows))


def _in_its_own_process(way: str, folder: Path, steps: int) -> float:
    command = [sys.executable, __file__, "--way", way, "--data", str(folder), "--steps", str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
