"""Speed of a step in MixTrainer's loop, compared with a bare compiled forward and backward pass on the CPU.

PreAct ResNet-18, batches of 128 images of 32 pixels, mixup, data in memory, channels last, `torch_compile`, bf16
if the CPU supports it. The bare loop has the same compiled net, one fixed batch in the same layout and precision,
cross entropy and a fused optimizer: no data, no mixing, no scheduler, no log. It takes a step after each of
MixTrainer's, in the same process; medians of the ratios of such pairs. Target: 1.1 times the bare step.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from inputs import CLASSES, made_images
from timing import benchmark_table, machine
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hfmix import MixTrainer, MixTrainingArguments, Mixup, load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.splits import as_labelled

NET = "preact_resnet18"
PIXELS = 32
WARM_UP = 3  # steps that compile and set up the optimizer's state
OPTIMIZERS = {"sgd": torch.optim.SGD, "adamw_torch_fused": torch.optim.AdamW}
FETCH, PASSES, UPDATE, REST = (
    "batch, loop and log",
    "mixing, forward, backward",
    "optimizer",
    "scheduler, zero_grad",
)


class Beside(TrainerCallback):
    """A callback that times the parts of each training step, and runs an untimed bare step after it.

    Args:
        bare: takes a step and returns the seconds of its forward and backward pass, and of the whole step.

    Attributes:
        steps: the seconds of each step's parts.
        bare_steps: the results of `bare` after each step.
    """

    def __init__(self, bare: Callable[[], tuple[float, float]]) -> None:
        self.bare = bare
        self.steps: list[dict[str, float]] = []
        self.bare_steps: list[tuple[float, float]] = []
        self._parts: dict[str, float] = {}
        self._last = 0.0

    def _mark(self, part: str) -> None:
        now = time.perf_counter()
        self._parts[part], self._last = now - self._last, now

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Starts the clock for the first step."""
        self._last = time.perf_counter()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Marks that the batch is ready."""
        self._mark(FETCH)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Marks that the gradients are ready."""
        self._mark(PASSES)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Marks that the weights are updated."""
        self._mark(UPDATE)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ends the step, runs the bare one, and starts the clock for the next."""
        self._mark(REST)
        self.steps.append(self._parts)
        self._parts = {}
        self.bare_steps.append(self.bare())
        self._last = time.perf_counter()


def bare_step(
    net: nn.Module, batch: dict[str, Tensor], optim: str, bf16: bool
) -> Callable[[], tuple[float, float]]:
    """Returns a step of the bare loop, for `Beside`."""
    net = net.to(memory_format=torch.channels_last).train()
    pixels = batch["pixel_values"].to(memory_format=torch.channels_last)
    compiled = torch.compile(net)
    settings = {"momentum": 0.9} if optim == "sgd" else {}
    optimizer = OPTIMIZERS[optim](net.parameters(), lr=1e-3, fused=True, **settings)

    def take() -> tuple[float, float]:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = compiled(pixels)
        F.cross_entropy(logits.float(), batch["labels"]).backward()
        passes = time.perf_counter() - start
        optimizer.step()
        optimizer.zero_grad()
        return passes, time.perf_counter() - start

    return take


def run(steps: int, batch_size: int, optim: str, bf16: bool) -> Beside:
    """Trains for `WARM_UP` and then `steps` steps, with a bare step after each."""
    data = as_labelled(made_images((WARM_UP + steps) * batch_size, PIXELS), name="train")
    model, processor = load_backbone(NET, CLASSES, pretrained=False, image_size=PIXELS)
    other, _ = load_backbone(NET, CLASSES, pretrained=False, image_size=PIXELS)
    augment = DataArguments(dataset_name="made images", train_crop="pad")
    examples = InMemoryExamples(data, processor, augment, seed=0, channels_last=True, progress=False)
    beside = Beside(bare_step(other.timm_model, examples.__getitems__(list(range(batch_size))), optim, bf16))
    with tempfile.TemporaryDirectory() as folder:
        args = MixTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            max_steps=WARM_UP + steps,
            learning_rate=1e-3,
            optim=optim,
            optim_args="momentum=0.9" if optim == "sgd" else None,
            max_grad_norm=0,
            bf16=bf16,
            channels_last=True,
            torch_compile=True,
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            logging_steps=50,
            report_to="none",
            disable_tqdm=True,
        )
        trainer = MixTrainer(
            model=model,
            args=args,
            policy=Mixup(),
            train_dataset=examples,
            data_collator=InMemoryExamples.collate,
            callbacks=[beside],
        )
        trainer.train()
    return beside


def tables(beside: Beside) -> str:
    """Formats the ratios, and the parts of MixTrainer's step."""
    steps, bare = beside.steps[WARM_UP:], beside.bare_steps[WARM_UP:]
    whole = [sum(parts.values()) for parts in steps]
    passes = [parts[PASSES] for parts in steps]
    bare_passes, bare_whole = [list(column) for column in zip(*bare, strict=True)]
    rows = []
    for what, timed, bare_what, bare_timed, target in (
        ("whole step", whole, "forward, backward", bare_passes, "≤ 1.1"),
        ("whole step", whole, "forward, backward, optimizer", bare_whole, "≤ 1.1"),
        (PASSES, passes, "forward, backward", bare_passes, ""),
    ):
        ratios = [a / b for a, b in zip(timed, bare_timed, strict=True)]
        ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        rows.append([what, _ms(timed), bare_what, _ms(bare_timed), ratio, target])
    first = benchmark_table(["MixTrainer", "ms", "bare", "ms", "ratio", "target"], rows)
    total = statistics.median(whole)
    parts = [
        [part, _ms([step[part] for step in steps]), f"{statistics.median(s[part] for s in steps) / total:.1%}"]
        for part in (FETCH, PASSES, UPDATE, REST)
    ]
    return f"{first}\n\n{benchmark_table(['part of a step of MixTrainer', 'ms', 'share'], parts)}"


def _ms(seconds: Sequence[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--optim", choices=list(OPTIMIZERS), default="sgd")
    parser.add_argument("--precision", choices=["auto", "bf16", "float32"], default="auto")
    options = parser.parse_args(arguments)
    bf16 = options.precision == "bf16"
    if options.precision == "auto":
        bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    beside = run(options.steps, options.batch_size, options.optim, bf16)
    what = f"{NET}, {options.batch_size}×3×{PIXELS}×{PIXELS}, {'bf16' if bf16 else 'float32'}, {options.optim}"
    print(f"{machine()}\n\n{what}, {options.steps} steps\n\n{tables(beside)}")


if __name__ == "__main__":
    main()
