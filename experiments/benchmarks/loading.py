"""Images per second fed to a model on CIFAR-10: hfmix's data in memory, compared with other pipelines.

Batches of 128 in random order, each image cropped by its own shift (4 pixels of padding) and flipped by its own
coin, normalised to float32. Peers read from the files that `datasets` keeps and decode anew in each epoch; they
get their best number of workers, which persist from pass to pass, so that their start is not measured. Each round
goes through all pipelines; medians, and ratios within a round. Target: 10 times transformers' example and timm's
loader, both unmodified; timm over images that were decoded beforehand is measured too.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from inputs import PATTERN, cifar10
from PIL import Image
from timing import benchmark_table, machine, rounds
from timm.data import create_dataset, create_loader
from torch.utils.data import DataLoader
from torchvision import transforms

from hfmix import load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.kinds import preprocessor_for
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled

BATCH = 128
SIDE, PADDING = 32, 4
TARGET = "≥ 10 ×"
AUGMENT = {"augmentation": "crop_flip", "train_crop": "pad", "crop_padding": PADDING, "horizontal_flip": True}


@dataclass(frozen=True)
class Source:
    """The data that the pipelines read.

    Attributes:
        folder: holds the Parquet files.
        images: number of images in a peer's pass, from the first on; hfmix in memory takes all.
        device: receives the batches.
    """

    folder: Path
    images: int
    device: torch.device
    mean: tuple[float, ...]
    std: tuple[float, ...]
    processor: Any

    @property
    def is_gpu(self) -> bool:
        """Returns whether batches are moved to a GPU."""
        return self.device.type == "cuda"

    def dataset(self) -> datasets.Dataset:
        """Reads all images with their labels with `datasets`."""
        files = sorted(str(file) for file in self.folder.glob(PATTERN))
        return datasets.load_dataset("parquet", data_files=files, split="train")

    def augment(self) -> DataArguments:
        """Returns hfmix's settings for the crop and the flip."""
        return DataArguments(dataset_name=str(self.folder), **AUGMENT)


def stock(source: Source, workers: int) -> DataLoader:
    """Builds the loader of transformers' examples/pytorch/image-classification/run_image_classification.py."""
    change = transforms.Compose(
        [
            transforms.RandomCrop(SIDE, padding=PADDING),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(source.mean, source.std),
        ]
    )

    def changed(rows: dict[str, list]) -> dict[str, list]:
        rows["pixel_values"] = [change(image.convert("RGB")) for image in rows["image"]]
        return rows

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pixels = torch.stack([example["pixel_values"] for example in examples])
        return {"pixel_values": pixels, "labels": torch.tensor([example["label"] for example in examples])}

    dataset = source.dataset().select(range(source.images))
    dataset.set_transform(changed)
    return _loader(source, dataset, collate, workers)


def of_timm(source: Source, workers: int, decoded: bool = False) -> Iterable[Any]:
    """Builds timm's loader as its train.py does, on a CPU too: uint8 from workers, normalised by PrefetchLoader.

    timm's own crops scale the image; as DeiT does for CIFAR, torchvision's RandomCrop replaces that first step.
    With `decoded` the images are in memory as PIL images, which timm leaves to its users.
    """
    dataset = create_dataset(f"hfds/{source.folder}", split="train")
    dataset.reader.dataset = dataset.reader.dataset.select(range(source.images))
    if decoded:
        dataset = Decoded(dataset)
    loader = create_loader(
        dataset,
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=True,
        color_jitter=None,
        mean=source.mean,
        std=source.std,
        num_workers=workers,
        pin_memory=source.is_gpu,
        device=source.device,
    )
    dataset.transform.transforms[0] = transforms.RandomCrop(SIDE, padding=PADDING)
    return loader


class Decoded(torch.utils.data.Dataset):
    """A data set of timm's whose images are decoded once."""

    def __init__(self, dataset: Any) -> None:
        self.transform: Any = None
        self.examples: list[tuple[Image.Image, int]] = [dataset[i] for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        image, label = self.examples[i]
        return self.transform(image), label


def one_by_one(source: Source, workers: int) -> DataLoader:
    """Builds hfmix's ordinary pipeline, which decodes and augments one image at a time."""
    data = as_labelled(source.dataset(), name="train").select(np.arange(source.images))
    examples = Examples(data, transform_for(data, source.processor, source.augment()), seed=0)
    return _loader(source, examples, preprocessor_for(data.kind, source.processor).collate, workers)


def in_memory(source: Source, data: LabelledData, device: torch.device) -> DataLoader:
    """Builds hfmix's pipeline with the data in memory, on `device`."""
    examples = InMemoryExamples(data, source.processor, source.augment(), seed=0, device=device, progress=False)
    return _loader(source, examples, InMemoryExamples.collate, workers=0, pin=device.type == "cpu")


def _loader(source: Source, dataset: Any, collate: Callable, workers: int, pin: bool = True) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=source.is_gpu and pin,
    )


def deliver(loader: Iterable[Any], device: torch.device) -> None:
    """Runs one pass: moves each batch to the device, as a Trainer would."""
    for batch in loader:
        for values in batch.values() if isinstance(batch, dict) else batch:
            values.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(source: Source, workers: Sequence[int], repeats: int) -> dict[str, dict[int, list[float]]]:
    """Measures images per second of each pipeline with each number of workers, in each round."""
    data = as_labelled(source.dataset(), name="train")
    peers = {
        "transformers' example": stock,
        "timm": of_timm,
        "timm, images decoded beforehand": partial(of_timm, decoded=True),
        "hfmix, one by one": one_by_one,
    }
    loaders = {(name, n): build(source, n) for name, build in peers.items() for n in workers}
    for device in dict.fromkeys((torch.device("cpu"), source.device)):
        loaders[in_memory_name(device), 0] = in_memory(source, data, device)
    calls = {key: partial(deliver, loader, source.device) for key, loader in loaders.items()}
    seconds = rounds(calls, repeats, warm_up=1)
    rates: dict[str, dict[int, list[float]]] = {}
    for (name, n), values in seconds.items():
        images = len(loaders[name, n]) * BATCH
        rates.setdefault(name, {})[n] = [images / value for value in values]
    return rates


def in_memory_name(device: torch.device) -> str:
    """Returns the name of hfmix's row in the table."""
    return f"hfmix, in memory on the {'CPU' if device.type == 'cpu' else 'GPU'}"


def once(source: Source) -> tuple[float, float]:
    """Measures the seconds to decode all images with an empty cache, and to take them from the cache."""
    data = as_labelled(source.dataset(), name="train")
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        InMemoryExamples(data, source.processor, source.augment(), seed=0, device=source.device, progress=False)
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def tables(rates: dict[str, dict[int, list[float]]], reference: str) -> str:
    """Tabulates each pipeline at its best number of workers beside `reference`, then all numbers of workers."""
    (best,) = rates[reference].values()
    rows, counts = [], list(dict.fromkeys(n for by_workers in rates.values() for n in by_workers))
    for name, by_workers in rates.items():
        workers = max(by_workers, key=lambda n, rates=by_workers: statistics.median(rates[n]))
        ratios = [reference_rate / rate for reference_rate, rate in zip(best, by_workers[workers], strict=True)]
        spread = (
            ""
            if name == reference
            else f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})"
        )
        target = TARGET if name in ("transformers' example", "timm") else ""
        rows.append([name, str(workers), f"{statistics.median(by_workers[workers]):,.0f}", spread, target])
    every = [
        [name, *(f"{statistics.median(by_workers[n]):,.0f}" if n in by_workers else "" for n in counts)]
        for name, by_workers in rates.items()
    ]
    beside = benchmark_table(["pipeline", "workers", "images per second", f"{reference} ÷ it", "target"], rows)
    return f"{beside}\n\n{benchmark_table(['images per second with', *(f'{n} workers' for n in counts)], every)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a folder with CIFAR-10's {PATTERN} [$HFMIX_DATA/cifar10]")
    parser.add_argument("--images", type=int, default=6400, help="number of images in a peer's pass")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    model, processor = load_backbone("resnet20_cifar", [str(i) for i in range(10)], pretrained=False)
    cfg = model.config.pretrained_cfg
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with cifar10(options.data, count=max(options.images, 10 * BATCH)) as (folder, what):
        source = Source(folder, options.images, device, tuple(cfg["mean"]), tuple(cfg["std"]), processor)
        decoding, reading = once(source)
        rates = measure(source, options.workers, options.repeats)
        print(f"{machine()}\n\n{what}, batches of {BATCH}, {options.repeats} rounds\n")
        print(tables(rates, in_memory_name(device)))
        print(f"\n{cost_in_words(decoding, reading, len(source.dataset()), rates, in_memory_name(device))}")


def cost_in_words(
    decoding: float, reading: float, images: int, rates: dict[str, dict[int, list[float]]], reference: str
) -> str:
    """Says in words what keeping the images in memory costs once per training."""
    epochs = {
        name: images / max(statistics.median(values) for values in by_workers.values())
        for name, by_workers in rates.items()
    }
    stock_epoch = epochs["transformers' example"]
    pays = decoding / (stock_epoch - epochs[reference]) if stock_epoch > epochs[reference] else float("inf")
    return (
        f"Once per training, not in the figures above: {decoding:.1f} s to decode {images:,} images, "
        f"{reading:.2f} s to take them from the cache. An epoch takes {stock_epoch:.1f} s with the stock pipeline "
        f"and {epochs[reference]:.2f} s with hfmix in memory: decoding pays for itself after {pays:.1f} epochs."
    )


if __name__ == "__main__":
    main()
