"""Speed of a MixTrainer step, compared with the stock Trainer's on the same net and batch, forward to optimizer.

Targets: with mixup at most 1.03 times the stock step, with RegMixup at most 2.05 times ERM's (the arithmetic
doubles). A batch of twice the size can take more than twice the time, where it leaves the caches: that is measured
too. Ratios of the fastest of interleaved steps.
"""

import argparse
import tempfile
from collections.abc import Callable

import torch
from timing import benchmark_table, interleaved
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from hfmix import ERM, CutMix, MixTrainer, MixTrainingArguments, Mixup, Policy, RegMixup, load_backbone

CLASSES = [str(i) for i in range(10)]
NETS = {"resnet20_cifar": 32, "vit_tiny_patch16_224": 64}


class Batch(Dataset):
    """One random batch as a data set of examples."""

    def __init__(self, size: int, pixels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pixel_values = torch.randn(size, 3, pixels, pixels, generator=generator)
        self.labels = torch.randint(len(CLASSES), (size,), generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.pixel_values[i], "labels": self.labels[i]}


def step(net: str, batch: Batch, policy: Policy | None, folder: str) -> Callable[[], object]:
    """Returns a function that takes one training step; with `policy` None, of the stock Trainer."""
    model, _ = load_backbone(net, CLASSES, pretrained=False, image_size=NETS[net])
    kind = TrainingArguments if policy is None else MixTrainingArguments
    args = kind(
        output_dir=folder,
        per_device_train_batch_size=len(batch),
        max_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    if policy is None:
        trainer = Trainer(model=model, args=args, train_dataset=batch)
    else:
        trainer = MixTrainer(model=model, args=args, policy=policy, train_dataset=batch)
    trainer.train()  # one step, to set everything up
    inputs = {"pixel_values": batch.pixel_values, "labels": batch.labels}
    items = torch.tensor(len(batch))

    def take() -> None:
        trainer.training_step(trainer.model_wrapped, dict(inputs), items)
        trainer.optimizer.step()
        trainer.model_wrapped.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return take


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch_size", type=int, default=64)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for net, pixels in NETS.items():
            batch = Batch(options.batch_size, pixels)
            policies = {"mixup": Mixup(), "cutmix": CutMix(), "regmixup": RegMixup(), "erm": ERM()}
            calls = {name: step(net, batch, policy, folder) for name, policy in policies.items()}
            calls["stock Trainer"] = step(net, batch, None, folder)
            calls["stock Trainer, 2N"] = step(net, Batch(2 * options.batch_size, pixels), None, folder)
            seconds = interleaved(calls, options.repeats)
            for name, beside, target in (
                ("erm", "stock Trainer", ""),
                ("mixup", "stock Trainer", "≤ 1.03"),
                ("cutmix", "stock Trainer", ""),
                ("regmixup", "erm", "≤ 2.05"),
                ("stock Trainer, 2N", "stock Trainer", ""),
                ("regmixup", "stock Trainer, 2N", ""),
            ):
                rows.append([net, name, beside, f"{seconds[name] / seconds[beside]:.3f}", target])
    print(benchmark_table(["net", "step", "compared with", "ratio", "target"], rows))


if __name__ == "__main__":
    main()
