"""Cost of a whole evaluation, compared with its bare forward passes, for a ResNet-20 on pictures of 32 pixels.

Target: calibration and OOD detection, intervals included, within 1.25 times the forward passes. Images are decoded
in memory and the processor only normalises, since decoding, which overlaps with the model, is not measured here.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from timing import benchmark_table

from hfmix import evaluate_robustness, load_backbone
from hfmix.data.labelled import LabelledData

CLASSES = [str(i) for i in range(10)]


@dataclass(frozen=True, eq=False)
class InMemory:
    """Images that are already decoded."""

    images: np.ndarray
    kind: ClassVar[str] = "image"

    def __len__(self) -> int:
        return len(self.images)

    def read(self, row: int, where: str) -> Image.Image:
        """Returns one image."""
        return Image.fromarray(self.images[row])

    def content(self, image: Image.Image) -> bytes:
        """Returns an image's pixels."""
        return image.tobytes()


def noise(count: int, seed: int) -> LabelledData:
    """Draws random pictures with random labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return LabelledData(InMemory(images), np.arange(count), rng.integers(0, 10, count), CLASSES, "noise")


def normalise(images: list[Image.Image], return_tensors: str) -> dict[str, Any]:
    """Scales images to [-1, 1]."""
    levels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return {"pixel_values": levels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--corruption_samples", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    model, processor = load_backbone("resnet20_cifar", CLASSES, pretrained=False)
    model.eval()
    test, outside = noise(options.samples, 0), noise(options.samples // 5, 1)
    passes = len(test) + len(outside)
    batch = torch.randn(128, 3, 32, 32)

    def bare(examples: int) -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            for _ in range(examples // len(batch)):
                model(batch)
            return (time.perf_counter() - start) * examples / (examples // len(batch) * len(batch))

    def whole() -> float:
        start = time.perf_counter()
        evaluate_robustness(
            model, normalise, test, axes=("clean", "calibration", "ood"), ood={"noise": outside}, progress=False
        )
        return time.perf_counter() - start

    def corrupted() -> float:
        some = test.sample(options.corruption_samples, 0)
        start = time.perf_counter()
        evaluate_robustness(model, processor, some, axes=("corruptions",), progress=False)
        return time.perf_counter() - start

    bare(1280)
    rows = []
    for what, call, examples, target in (
        ("clean, calibration, OOD", whole, passes, "≤ 1.25"),
        ("15 corruptions × 5 severities", corrupted, 76 * options.corruption_samples, ""),
    ):
        ratios = [call() / bare(examples) for _ in range(options.repeats)]
        rows.append([what, str(examples), f"{min(ratios):.2f}", f"{np.median(ratios):.2f}", target])
    print(benchmark_table(["axes", "forward passes", "÷ bare ones, best", "median", "target"], rows))


if __name__ == "__main__":
    main()
