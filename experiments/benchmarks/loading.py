"""Images a second fed to a model on CIFAR-10: hfmix's data in memory, and what others do.

Batches of 128 in random order, each image cropped by its own shift (4 pixels of padding) and flipped by its own
coin, normalised to float32. Peers read from the files that `datasets` keeps and decode again each epoch; they get
their best number of workers, which live on from pass to pass, so that their start is not measured. One round after
the other goes through all of them: medians, and the ratios within a round. Target: 10 times transformers' example
and timm's loader, both as they come; timm over images that were decoded beforehand is measured beside.
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
    """What the pipelines read.

    Attributes:
        folder: with the Parquet files.
        images: how many of them a peer's pass takes, the first ones; hfmix's in memory takes all.
        device: that the batches are delivered to.
    """

    folder: Path
    images: int
    device: torch.device
    mean: tuple[float, ...]
    std: tuple[float, ...]
    processor: Any

    @property
    def is_gpu(self) -> bool:
        """Whether batches travel."""
        return self.device.type == "cuda"

    def dataset(self) -> datasets.Dataset:
        """All images with their labels, as `datasets` reads them."""
        files = sorted(str(file) for file in self.folder.glob(PATTERN))
        return datasets.load_dataset("parquet", data_files=files, split="train")

    def augment(self) -> DataArguments:
        """hfmix's settings of the crop and the flip."""
        return DataArguments(dataset_name=str(self.folder), **AUGMENT)


def stock(source: Source, workers: int) -> DataLoader:
    """The data half of transformers' examples/pytorch/image-classification/run_image_classification.py."""
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
    """timm's loader as its train.py builds it, on a CPU too: uint8 from the workers, normalised by PrefetchLoader.

    Its own crops scale the image; as DeiT does for CIFAR, the first step gives way to torchvision's RandomCrop.
    With `decoded` the images lie in memory as PIL images, which timm leaves to its users.
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
    """A data set of timm's with its images decoded once."""

    def __init__(self, dataset: Any) -> None:
        self.transform: Any = None
        self.examples: list[tuple[Image.Image, int]] = [dataset[i] for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        image, label = self.examples[i]
        return self.transform(image), label


def one_by_one(source: Source, workers: int) -> DataLoader:
    """hfmix's ordinary pipeline, which decodes and changes an image at a time."""
    data = as_labelled(source.dataset(), name="train").select(np.arange(source.images))
    examples = Examples(data, transform_for(data, source.processor, source.augment()), seed=0)
    return _loader(source, examples, preprocessor_for(data.kind, source.processor).collate, workers)


def in_memory(source: Source, data: LabelledData, device: torch.device) -> DataLoader:
    """hfmix's data in memory, on `device`."""
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
    """One pass: each batch in turn on the device, as a Trainer would have it."""
    for batch in loader:
        for values in batch.values() if isinstance(batch, dict) else batch:
            values.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(source: Source, workers: Sequence[int], repeats: int) -> dict[str, dict[int, list[float]]]:
    """Images a second of each pipeline with each number of workers, in each round."""
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
    """Of the line of the table."""
    return f"hfmix, in memory on the {'CPU' if device.type == 'cpu' else 'GPU'}"


def once(source: Source) -> tuple[float, float]:
    """Seconds to decode all images when nothing is kept yet, and to take them from what is kept."""
    data = as_labelled(source.dataset(), name="train")
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        InMemoryExamples(data, source.processor, source.augment(), seed=0, device=source.device, progress=False)
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def tables(rates: dict[str, dict[int, list[float]]], reference: str) -> str:
    """Each pipeline at its best number of workers beside `reference`, then every number of workers."""
    (best,) = rates[reference].values()
    rows, counts = [], list(dict.fromkeys(n for found in rates.values() for n in found))
    for name, found in rates.items():
        workers = max(found, key=lambda n, found=found: statistics.median(found[n]))
        ratios = [ours / theirs for ours, theirs in zip(best, found[workers], strict=True)]
        spread = (
            ""
            if name == reference
            else f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})"
        )
        target = TARGET if name in ("transformers' example", "timm") else ""
        rows.append([name, str(workers), f"{statistics.median(found[workers]):,.0f}", spread, target])
    every = [
        [name, *(f"{statistics.median(found[n]):,.0f}" if n in found else "" for n in counts)]
        for name, found in rates.items()
    ]
    beside = benchmark_table(["pipeline", "workers", "images a second", f"{reference} ÷ it", "target"], rows)
    return f"{beside}\n\n{benchmark_table(['images a second with', *(f'{n} workers' for n in counts)], every)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"a folder with CIFAR-10's {PATTERN} [$HFMIX_DATA/cifar10]")
    parser.add_argument("--images", type=int, default=6400, help="how many a peer's pass takes")
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
        print(f"\n{told_once(decoding, reading, len(source.dataset()), rates, in_memory_name(device))}")


def told_once(
    decoding: float, reading: float, images: int, rates: dict[str, dict[int, list[float]]], reference: str
) -> str:
    """What keeping the images in memory costs once a training, in words."""
    epochs = {
        name: images / max(statistics.median(values) for values in found.values()) for name, found in rates.items()
    }
    stock_epoch = epochs["transformers' example"]
    pays = decoding / (stock_epoch - epochs[reference]) if stock_epoch > epochs[reference] else float("inf")
    return (
        f"Once a training, not in the figures above: {decoding:.1f} s to decode {images:,} images, "
        f"{reading:.2f} s to take them from the cache. An epoch of the stock pipeline takes {stock_epoch:.1f} s, "
        f"of hfmix's in memory {epochs[reference]:.2f} s: decoding has paid for itself after {pays:.1f} epochs."
    )


if __name__ == "__main__":
    main()
