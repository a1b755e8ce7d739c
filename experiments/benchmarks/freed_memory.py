"""Speed-up from keeping freed memory on a CPU, for training steps and for an evaluation's forward passes.

`hfmix train`, `evaluate` and the other commands keep the memory that they free (`hfmix.utils.malloc`). Each case
runs in its own process, alternately with and without; medians of the ratios of such pairs. Inputs are noise.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from timing import benchmark_table, machine
from torch import Tensor

from hfmix import load_backbone
from hfmix.utils.malloc import keep_freed_memory

WARM_UP = 5
CLASSES = [str(i) for i in range(10)]
SOUND = {"sampling_rate": 8000, "clip_seconds": 0.64, "num_mel_bins": 40}


def training(net: str, size: tuple[int, ...], **kwargs: object) -> Callable[[], None]:
    """Returns a training step in bf16, channels last, with a fused optimizer; `size` is the batch's shape."""
    model, _ = load_backbone(net, CLASSES, pretrained=False, **kwargs)
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)
    inputs, labels = torch.randn(size), torch.randint(10, size[:1])

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(logits(model, inputs).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def evaluating(net: str, size: tuple[int, ...], **kwargs: object) -> Callable[[], None]:
    """Returns a forward pass in float32."""
    model, _ = load_backbone(net, CLASSES, pretrained=False, **kwargs)
    model.eval()
    inputs = torch.randn(size)

    def step() -> None:
        with torch.no_grad():
            logits(model, inputs)

    return step


def logits(model: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Returns the logits of an image or audio model."""
    return model(**{model.main_input_name: inputs}).logits


CASES: dict[str, Callable[[], Callable[[], None]]] = {
    "train ResNet-20, 128 images of 32 pixels": lambda: training("resnet20_cifar", (128, 3, 32, 32)),
    "train VGG-11, 32 clips of 0.64 s": lambda: training("vgg11_audio", (32, 40, 65), **SOUND),
    "evaluate ResNet-20, 128 images": lambda: evaluating("resnet20_cifar", (128, 3, 32, 32)),
    "evaluate VGG-11, 128 clips": lambda: evaluating("vgg11_audio", (128, 40, 65), **SOUND),
    "evaluate ResNet-50, 32 images of 224 pixels": lambda: evaluating("timm/resnet50", (32, 3, 224, 224)),
}


def measure(case: str, steps: int, keep: bool) -> tuple[float, float]:
    """Measures the median seconds of a step, and this process's peak memory in MiB."""
    if keep and not keep_freed_memory():
        raise SystemExit("freed memory cannot be kept here: not glibc, or the environment variables forbid it")
    step = CASES[case]()
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or with `--case` its two values."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--case", choices=list(CASES), help="measure only this case, in this process")
    parser.add_argument("--keep", action="store_true", help="with --case: keep freed memory")
    options = parser.parse_args(arguments)
    if options.case is not None:
        print(json.dumps(measure(options.case, options.steps, options.keep)))
        return
    rows = []
    for case in CASES:
        ratios, peaks = [], []
        for _ in range(options.pairs):
            without, with_it = (_in_its_own_process(case, options.steps, keep) for keep in (False, True))
            ratios.append(without[0] / with_it[0])
            peaks.append(with_it[1] / without[1])
        shown = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([case, shown, f"{statistics.median(peaks):.2f} ×"])
    print(f"{machine()}\n\nmedians of {options.pairs} pairs, {options.steps} steps each\n")
    print(benchmark_table(["case", "speed-up", "peak memory"], rows))


def _in_its_own_process(case: str, steps: int, keep: bool) -> tuple[float, float]:
    command = [sys.executable, __file__, "--case", case, "--steps", str(steps), *(["--keep"] if keep else [])]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(run.stdout.splitlines()[-1])
    return seconds, peak


if __name__ == "__main__":
    main()
