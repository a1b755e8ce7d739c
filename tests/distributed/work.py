"""What several processes do together, in one launch for all tests of it; one process does it for comparison.

Each function leaves its findings in a folder, named by its process where each has its own.
"""

import json
import os
import sys
from pathlib import Path

import torch
from pictures import pictures
from tiny import Pictures, tiny_trainer, weights
from zoo import ZOO, Animal, counts, gradient, trainer_of

from hfmix import ERM, MixTrainingArguments, RegMixup, load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.splits import as_labelled
from hfmix.train import main
from hfmix.training import trainer


def take_a_step(folder: Path, processes: int) -> None:
    """One step of plain SGD on eight examples, however many processes share them."""
    ours = tiny_trainer(
        folder,
        ERM(),
        n=8,
        per_device_train_batch_size=8 // processes,
        max_steps=1,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0,
        train_sampling_strategy="sequential",
    )
    start = weights(ours)
    ours.train()
    if ours.args.process_index == 0:
        torch.save(start - weights(ours), folder / "gradient.pt")


class Told(Pictures):
    """Notes for each example that is read which epoch it was told."""

    told, used = 0, []

    def set_epoch(self, epoch):
        self.told = epoch

    def __getitem__(self, i):
        self.used.append(self.told)
        return super().__getitem__(i)


def pass_three_times(folder: Path) -> None:
    ours = tiny_trainer(folder, ERM(), per_device_train_batch_size=2, num_train_epochs=3, max_steps=-1)
    ours.train_dataset = Told(8)
    ours.train()
    (folder / f"epochs{ours.args.process_index}.json").write_text(json.dumps(Told.used))


def animal_called(name: str) -> Animal:
    return next(animal for animal in ZOO if animal.name == name)


def evaluate(folder: Path) -> None:
    """Counts and losses for numbers of examples that do and do not go into batches and processes."""
    found = {}
    for name in ("ViT", "ResNet"):
        for examples, size in ((10, 1), (10, 3), (10, 4), (10, 8), (12, 3), (3, 4)):
            ours = trainer_of(
                animal_called(name), folder, examples, RegMixup(20.0), per_device_eval_batch_size=size
            )
            ours.compute_metrics = counts
            metrics = ours.evaluate()
            keys = ("eval_count", "eval_right", "eval_loss")
            found[f"{name}, {examples} examples by {size}"] = [metrics[key] for key in keys]
    if ours.args.process_index == 0:
        found["processes"] = [ours.args.world_size]
        (folder / "found.json").write_text(json.dumps(found))


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return (self.data[i] for i in range(len(self.data)))


def step_after_an_evaluation(folder: Path, processes: int) -> None:
    """With batches that each process takes or that the first hands out, of sets with and without a length."""
    found, steps, animal, size = {}, {}, animal_called("ViT"), 8 // processes
    for dispatch in (None, True):
        for stream in (False, True):
            for examples in (9, 16):
                ours = trainer_of(
                    animal,
                    folder,
                    examples,
                    ERM(),
                    per_device_eval_batch_size=size,
                    per_device_train_batch_size=size,
                    accelerator_config={"dispatch_batches": dispatch},
                )
                ours.compute_metrics = counts
                if stream:
                    ours.train_dataset, ours.eval_dataset = (Stream(animal.make(examples)) for _ in range(2))
                metrics, case = ours.evaluate(), f"{dispatch}, {stream}, {examples}"
                found[case] = [metrics[key] for key in ("eval_count", "eval_right", "eval_loss")]
                steps[case] = gradient(ours)
    rank = ours.args.process_index
    torch.save(steps, folder / f"steps{rank}.pt")
    (folder / f"dispatched{rank}.json").write_text(json.dumps(found))


def train_by_a_recipe(folder: Path, options: list[str]) -> None:
    """The training script's run, and by process the plans that it drew."""
    draw, plans = trainer.MixTrainer._draw_plan, []

    def record(self, *batch):
        plan = draw(self, *batch)
        plans.append(plan.weight[0, 0].item())
        (folder / f"plans{self.args.process_index}.json").write_text(json.dumps(plans))
        return plan

    trainer.MixTrainer._draw_plan = record
    assert main([*options, "--output_dir", str(folder / "run")]) == 0


def feed_from_memory(folder: Path) -> None:
    """Which images a process is given in two passes, in which batches, and what becomes of each of them."""
    images = as_labelled(pictures(22))
    model, processor = load_backbone("test_resnet", images.class_names, pretrained=False, image_size=32)
    memory = InMemoryExamples(images, processor, DataArguments("digits", train_crop="pad"), 0)
    make, fed = memory.__getitems__, []
    places = torch.arange(3 * 32 * 32, dtype=torch.float64).reshape(3, 32, 32)

    def record(positions):
        batch = make(positions)
        sums = [pixels.double().mul(places).sum().item() for pixels in batch["pixel_values"]]
        fed.append(list(zip(positions, sums, strict=True)))
        return batch

    memory.__getitems__ = record
    args = MixTrainingArguments(
        str(folder), per_device_train_batch_size=4, num_train_epochs=2, save_strategy="no", use_cpu=True
    )
    ours = trainer.MixTrainer(model, args, train_dataset=memory, data_collator=memory.collate)
    ours.train()
    (folder / f"fed{ours.args.process_index}.json").write_text(json.dumps(fed))


def compare(folder: Path, processes: int) -> None:
    """What one process does as well."""
    take_a_step(folder, processes)
    evaluate(folder)
    step_after_an_evaluation(folder, processes)
    feed_from_memory(folder)


if __name__ == "__main__":
    where, count = Path(sys.argv[1]), int(os.environ["WORLD_SIZE"])
    compare(where, count)
    pass_three_times(where)
    train_by_a_recipe(where, sys.argv[2:])  # at last: it ends the process group
    os._exit(0)  # what is tested are the findings, not how gloo's threads end
