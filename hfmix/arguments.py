"""What a recipe can set beside the training arguments: the network, the data, and the run's folder."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from hfmix.embedded import EMBEDDED


@dataclass
class ModelArguments:
    """Which network."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "A timm architecture (resnet18, timm/resnet18.a1_in1k), a Hub id or a folder. Required."
        },
    )
    pretrained: bool = field(
        default=True, metadata={"help": "Start from the checkpoint's weights, not from random."}
    )
    image_size: int | None = field(
        default=None, metadata={"help": "Side of the input in pixels, for timm architectures. [the model's own]"}
    )

    _argument_group_name = "model"

    def __post_init__(self) -> None:
        check_positive(self, "image_size")


@dataclass
class DataArguments:
    """Which images to train and to measure on, and how they are augmented."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A Hub id, a folder (one subfolder a class, or Parquet files inside), "
            f"or what comes with hfmix: {', '.join(EMBEDDED)}."
        },
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "The configuration of a Hub data set that has several."}
    )
    train_file: list[str] | None = field(
        default=None, metadata={"help": "One or more Parquet files to train on, instead of --dataset_name."}
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet files to watch the training with."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet files that the robustness report is measured on."}
    )
    image_column_name: str | None = field(
        default=None, metadata={"help": "The column of images. [the column `image`, or the only one with images]"}
    )
    label_column_name: str | None = field(
        default=None,
        metadata={"help": "The column of classes. [the column `label`, or the only one with classes]"},
    )
    test_fraction: float = field(
        default=0.2, metadata={"help": "Share of the training data held out as test set where there is none."}
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Train on so many images, drawn by --seed."}
    )
    max_test_samples: int | None = field(
        default=None, metadata={"help": "Measure on so many images, the same ones whatever the --seed."}
    )
    train_crop: Literal["none", "pad", "resized"] = field(
        default="resized",
        metadata={
            "help": "Random crops in training: `pad` shifts by up to --crop_padding pixels (small images), "
            "`resized` scales a cut of 25 to 100 %% of the area (photographs), `none` takes the processor's own."
        },
    )
    crop_padding: int = field(default=4, metadata={"help": "Pixels of border for --train_crop pad."})
    horizontal_flip: bool = field(default=True, metadata={"help": "Mirror every second training image."})
    ood: dict | str | None = field(
        default=None,
        metadata={
            "help": "Out-of-distribution data for the report, as name: source, the source being what "
            '--dataset_name takes or a Parquet file. On the command line as JSON: \'{"svhn": "path/to/svhn"}\'.'
        },
    )

    _argument_group_name = "data"

    def __post_init__(self) -> None:
        if self.dataset_name is None and not self.train_file:
            raise ValueError("no data: set dataset_name (a Hub id, a folder or 'digits') or train_file")
        if not self.train_file and (self.validation_file or self.test_file):
            raise ValueError("validation_file and test_file go with train_file: set it too")
        if isinstance(self.ood, str):
            try:
                self.ood = json.loads(self.ood)
            except json.JSONDecodeError as error:
                raise ValueError(f'ood is JSON such as {{"svhn": "path/to/svhn"}}, not {self.ood!r}') from error
        if self.ood is not None and not isinstance(self.ood, dict):
            raise ValueError(f"ood is name: source, not {self.ood!r}")
        check_positive(self, "max_train_samples", "max_test_samples")
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding is a number of pixels from 0, not {self.crop_padding}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction lies between 0 and 1, not {self.test_fraction}")


@dataclass
class RunArguments:
    """What happens to the run's folder, and how much is measured at the end."""

    overwrite: bool = field(default=False, metadata={"help": "Replace the run that --output_dir holds."})
    corruption_samples: int | None = field(
        default=None,
        metadata={"help": "Corrupt so many test images for the report, the same ones whatever the --seed. [all]"},
    )

    _argument_group_name = "run"

    def __post_init__(self) -> None:
        check_positive(self, "corruption_samples")


def check_positive(arguments: Any, *names: str) -> None:
    """Raises a ValueError for the first of these settings that is given and below 1."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is a whole number from 1, not {value}")
