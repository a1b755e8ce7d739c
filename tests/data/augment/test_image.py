"""Random augmentation follows its key: seed, epoch and example, and nothing else."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_trainer
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from hfmix import load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.augment.image import ToPixels
from hfmix.data.datasets.map_style import Examples
from hfmix.data.splits import load_splits
from hfmix.utils.randomness import keyed_randomness


@pytest.fixture(scope="module")
def digits():
    """24 images of digits, and the processor of a net for 32 pixels."""
    images = load_splits(DataArguments("digits", max_train_samples=24), seed=0)["train"]
    processor = load_backbone("test_resnet", images.class_names, pretrained=False, image_size=32)[1]
    return images, processor


def examples(digits, seed=0, **options):
    images, processor = digits
    return Examples(images, ToPixels(processor, DataArguments("digits", **options)), seed)


def draws():
    return torch.rand(3).tolist(), [random.random() for _ in range(3)], np.random.random(3).tolist()


def test_a_key_decides_all_three_generators_and_leaves_them_alone():
    with keyed_randomness(1, 2, 3):
        first = draws()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = draws()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    with pytest.raises(KeyError), keyed_randomness(1, 2, 3):
        again = draws()
        raise KeyError
    assert draws() == expected
    assert again == first
    for key in ((1, 2), (1, 2, 4), (12, 3)):
        with keyed_randomness(*key):
            other = draws()
        assert all(mine != theirs for mine, theirs in zip(other, first, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"train_crop": "pad"},
        {"train_crop": "resized"},
        {"augmentation": "randaugment"},
        {"augmentation": "randaugment_levels"},
    ],
    ids=str,
)
def test_an_example_is_the_same_with_any_number_of_workers_and_in_any_order(digits, options):
    data = examples(digits, **options)
    loaders = {
        "none": DataLoader(data, batch_size=5, shuffle=True),
        "two": DataLoader(data, batch_size=7, shuffle=True, num_workers=2),
        "two that live on": DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True),
    }
    passes = {}
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        expected = torch.stack([data[i]["pixel_values"] for i in range(24)])
        for name, loader in loaders.items():
            seen = torch.cat([batch["pixel_values"] for batch in loader])
            if name != "two that live on":  # shuffled: compared as sets of images
                order = torch.cdist(expected.flatten(1), seen.flatten(1)).argmin(1)
                seen = seen[order]
            assert torch.equal(seen, expected), name
        passes.setdefault(epoch, expected)
        assert torch.equal(passes[epoch], expected)
    changed = (passes[0] != passes[1]).flatten(1).any(1)
    assert changed.sum() >= 18  # 24 different crops, hardly one of which comes twice


def test_seeds_differ_and_a_subset_keeps_its_changes(digits):
    images, processor = digits
    first, other = examples(digits), examples(digits, seed=1)
    assert sum(not torch.equal(first[i]["pixel_values"], other[i]["pixel_values"]) for i in range(24)) >= 18
    part = Examples(images.select(np.array([20, 3])), ToPixels(processor, DataArguments("digits")), 0)
    assert torch.equal(part[0]["pixel_values"], first[20]["pixel_values"])
    assert torch.equal(part[1]["pixel_values"], first[3]["pixel_values"])


def test_no_augmentation_is_the_processor_alone(digits):
    images, processor = digits
    data = examples(digits, augmentation="none", train_crop="pad", horizontal_flip=True)
    assert torch.equal(data[3]["pixel_values"], ToPixels(processor)(images.example(3))["pixel_values"])


def stripes(side=36):
    """A picture whose columns are all different, brighter to the right."""
    row = np.linspace(0, 250, side).astype(np.uint8)
    return Image.fromarray(np.repeat(np.repeat(row[None, :, None], side, 0), 3, 2))


def test_half_of_the_pictures_are_mirrored_and_shifts_are_even(digits):
    """400 draws: a share within .1 of a half is 4 standard deviations; 9 shifts with χ² below 31 (P ≈ 1e-4)."""
    transform = ToPixels(digits[1], DataArguments("digits", train_crop="pad", crop_padding=4))
    mirrored, shifts = 0, []
    for i in range(400):
        with keyed_randomness(0, 0, i):
            pixels = transform(stripes(32))["pixel_values"]
        levels = transform.preprocessor.levels(pixels[None])[0, 16, :, 0].int().numpy()
        inside = levels[4:28]
        backwards = inside[0] > inside[-1]
        mirrored += backwards
        levels = levels[::-1] if backwards else levels
        shifts.append(int(np.abs(levels[12] - np.linspace(0, 250, 32)).argmin()) - 12)
    assert abs(mirrored / 400 - 0.5) < 0.1
    counts = np.bincount(np.array(shifts) + 4, minlength=9)
    assert len(counts) == 9 and ((counts - 400 / 9) ** 2 / (400 / 9)).sum() < 31


def test_randaugment_erases_as_often_as_told_after_normalisation(digits):
    """Zero magnitude and no crop: what differs from the processor's image is erased, or one of the operations."""
    processor, picture = digits[1], Image.new("RGB", (32, 32), (90, 90, 90))

    def share(probability):
        options = {"augmentation": "randaugment", "train_crop": "none", "erasing_probability": probability}
        transform = ToPixels(processor, DataArguments("digits", **options))
        noisy = 0
        for i in range(300):
            with keyed_randomness(0, 0, i):
                noisy += (
                    len(transform(picture)["pixel_values"].unique()) > 60
                )  # noise has a value of its own for each pixel
        return noisy / 300

    assert share(0.0) == 0.0 and share(1.0) == 1.0
    assert abs(share(0.25) - 0.25) < 0.1  # 4 standard deviations


def test_randaugment_changes_more_as_it_grows(digits):
    images, processor = digits

    def distance(magnitude):
        options = {"augmentation": "randaugment", "train_crop": "none", "horizontal_flip": False}
        options |= {"erasing_probability": 0.0, "randaugment_magnitude": magnitude}
        data = Examples(images, ToPixels(processor, DataArguments("digits", **options)), 0)
        plain = ToPixels(processor)
        return np.mean(
            [(data[i]["pixel_values"] - plain(images.example(i))["pixel_values"]).abs().mean() for i in range(24)]
        )

    weak, strong = distance(1), distance(9)
    assert 0 < weak < strong


def test_the_strongest_randaugment_never_fails(digits):
    """timm's own bound lets it keep no bit of a colour, which Pillow refuses, about once in 20 images."""
    options = {"augmentation": "randaugment", "randaugment_magnitude": 10}
    transform = ToPixels(digits[1], DataArguments("digits", **options))
    for i in range(400):
        with keyed_randomness(0, 0, i):
            assert transform(stripes())["pixel_values"].isfinite().all()


class EpochsSeen(TrainerCallback):
    """The data set's epoch at each step, and at each epoch's first one."""

    def __init__(self, data):
        self.data, self.seen = data, []

    def on_step_begin(self, *_, **__):
        self.seen.append(int(self.data._epoch))


class Sized(torch.utils.data.Dataset):
    """Ten pictures of noise that differ by epoch."""

    def __init__(self):
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch):
        self._epoch.fill_(epoch)

    def __len__(self):
        return 10

    def __getitem__(self, i):
        with keyed_randomness(0, int(self._epoch), i):
            return {"pixel_values": torch.randn(3, 16, 16), "labels": i % 4}


def epochs_of_a_run(folder, data, resume=None, **arguments):
    callback = EpochsSeen(data)
    trainer = tiny_trainer(folder, max_steps=8, **arguments)  # 10 images in batches of 4: three steps an epoch
    trainer.train_dataset = data
    trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=resume)
    return callback.seen


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_trainer_tells_the_epoch_also_after_resuming_in_its_middle(tmp_path, accumulation):
    arguments = {"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": accumulation}
    straight = epochs_of_a_run(tmp_path, Sized(), **arguments)
    steps = -(-3 // accumulation)
    assert straight == [step // steps for step in range(8)]
    for step in (steps, steps + 1):  # at an epoch's begin, and in its middle
        resumed = epochs_of_a_run(tmp_path, Sized(), str(tmp_path / f"checkpoint-{step}"), **arguments)
        assert resumed == straight[step:]


def test_reflected_crops_are_torchvision_s(digits):
    """Each is one of the 25 shifts of the reflected image; a border of zeros is none of them."""
    images = digits[0]
    settings = {"train_crop": "pad", "crop_padding": 2, "crop_padding_mode": "reflect", "horizontal_flip": False}
    data = examples(digits, **settings)
    image = np.asarray(images.example(3).resize((32, 32), Image.Resampling.BILINEAR))
    wide = np.pad(image, [(2, 2), (2, 2), (0, 0)], mode="reflect")
    shifts = {wide[y : y + 32, x : x + 32].tobytes() for y in range(5) for x in range(5)}
    preprocessor = data.transform.preprocessor
    for epoch in range(20):
        data.set_epoch(epoch)
        levels = preprocessor.levels(data[3]["pixel_values"][None])[0].numpy()
        assert levels.tobytes() in shifts
    with pytest.raises(ValueError, match="crop_padding 32 reflects more than an image of 32×32 pixels"):
        examples(digits, **{**settings, "crop_padding": 32})


def test_an_alternating_flip_is_for_data_in_memory(digits):
    asked = DataArguments("digits", alternating_flip=True, data_in_memory=True, train_crop="pad")
    with pytest.raises(ValueError, match="alternating_flip mirrors whole batches in memory"):
        ToPixels(digits[1], asked)
