"""Options that say which data to train and to measure on, and how they are augmented."""

from dataclasses import dataclass, field
from typing import Literal

from hfmix.data.sources.embedded import EMBEDDED
from hfmix.utils.arguments import as_mapping, check_positive

IMAGE_AUGMENTATIONS = ("none", "crop_flip", "randaugment", "randaugment_levels")
SOUND_AUGMENTATIONS = ("none", "time_shift", "specaugment")


@dataclass
class DataArguments:
    """Which images, clips or tables to train and to measure on, and how they are augmented."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A Hub id, a folder of images or sound (one subfolder a class, or Parquet files inside) or of "
            f"CSV files, or what comes with hfmix: {', '.join(EMBEDDED)}."
        },
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "The configuration of a Hub data set that has several."}
    )
    train_file: list[str] | None = field(
        default=None, metadata={"help": "One or more Parquet or CSV files to train on, instead of --dataset_name."}
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet or CSV files to watch the training with."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet or CSV files that the robustness report is measured on."}
    )
    image_column_name: str | None = field(
        default=None, metadata={"help": "The column of images. [the column `image`, or the only one with images]"}
    )
    audio_column_name: str | None = field(
        default=None, metadata={"help": "The column of clips. [the column `audio`, or the only one with sound]"}
    )
    label_column_name: str | None = field(
        default=None,
        metadata={
            "help": "The column of classes, one an example or a list of any number. [`label`, "
            "or the only one with classes, or the last of a table]"
        },
    )
    feature_column_names: list[str] | None = field(
        default=None,
        metadata={
            "help": "Tables: the columns to learn from, numbers or words (a category each). [all but the label's]"
        },
    )
    test_split: str = field(
        default="test",
        metadata={"help": "The split that the report is measured on, such as `validation` for ImageNet."},
    )
    test_fraction: float = field(
        default=0.2, metadata={"help": "Share of the training data held out as test set where there is none."}
    )
    validation_fraction: float = field(
        default=0.0,
        metadata={
            "help": "Share of the training data held out to watch the training with, the same one whatever the "
            "--seed; the test set is never touched."
        },
    )
    split_seed: int = field(
        default=0,
        metadata={
            "help": "Draws what --test_fraction and --validation_fraction hold out. Runs with another one are "
            "measured on other examples."
        },
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Read the training data from the Hub or the files as it is needed and store nothing, for "
            "sets larger than the disk. Pass follows pass without an end: it needs --max_steps, and evaluates and "
            "saves by steps. Classes have to be a ClassLabel. Of the test split, which it needs too, and of a "
            "validation split the first --max_test_samples and --max_eval_samples rows are read into memory, or "
            "all. Workers share the files; of several processes the main one reads for all."
        },
    )
    shuffle_buffer: int = field(
        default=10_000,
        metadata={
            "help": "--streaming: so many stored examples wait in memory and leave it in random order. As large "
            "as memory allows where the files are sorted by class; 1 keeps their order."
        },
    )
    data_in_memory: bool = field(
        default=False,
        metadata={
            "help": "Decode the images once into one tensor, on the GPU where there is one, and change, normalise "
            "and feed whole batches: many times as fast for small images. Decoded images are kept in the cache of "
            "`datasets` for the next run; those that do not fit in memory are read as they are needed. Shifts and "
            "flips are other draws than without, of the same distribution. It takes --train_crop pad or none, "
            "randaugment_levels in place of randaugment, and needs no workers."
        },
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Train on so many images, drawn by --seed."}
    )
    max_eval_samples: int | None = field(
        default=None, metadata={"help": "Watch with so many validation images, the same ones whatever the --seed."}
    )
    max_test_samples: int | None = field(
        default=None, metadata={"help": "Measure on so many images, the same ones whatever the --seed."}
    )
    label_noise: float = field(
        default=0.0,
        metadata={
            "help": "Replace the class of each training image with this probability by one drawn evenly from the "
            "other classes; validation and test keep theirs."
        },
    )
    label_noise_seed: int = field(
        default=0, metadata={"help": "Draws the label noise: runs of any --seed train on the same wrong labels."}
    )
    augmentation: (
        Literal["none", "crop_flip", "randaugment", "randaugment_levels", "time_shift", "specaugment"] | None
    ) = field(
        default=None,
        metadata={
            "help": "What changes training examples at random, anew each epoch. Images: nothing, --train_crop and "
            "--horizontal_flip, or these two, then RandAugment and random erasing (timm's rand-m9-mstd0.5-inc1, "
            "and boxes of noise), or randaugment_levels: these two, then RandAugment without rotation, shear and "
            "translation, and without erasing. Sound: nothing, --time_shift_ms, or that and SpecAugment's "
            "masks. [crop_flip for images, none for sound]"
        },
    )
    train_crop: Literal["none", "pad", "resized"] = field(
        default="resized",
        metadata={
            "help": "Random crops in training: `pad` shifts by up to --crop_padding pixels (small images), "
            "`resized` scales a cut of --crop_scale to 1 of the area (photographs), `none` takes the "
            "processor's own."
        },
    )
    crop_padding: int = field(default=4, metadata={"help": "Pixels of border for --train_crop pad."})
    crop_scale: float = field(
        default=0.25,
        metadata={"help": "The smallest share of the area for --train_crop resized; ImageNet's habit is 0.08."},
    )
    horizontal_flip: bool = field(default=True, metadata={"help": "Mirror every second training image."})
    cutout: int | None = field(
        default=None,
        metadata={
            "help": "Blank a square of this side, in pixels, at a random place of each training image, partly "
            "outside where it is near the border (arXiv 1708.04552: 16 for CIFAR-10, 8 for CIFAR-100). [none]"
        },
    )
    randaugment_magnitude: int | None = field(
        default=None,
        metadata={"help": "The strength of --augmentation randaugment and randaugment_levels, from 0 to 10. [9]"},
    )
    erasing_probability: float | None = field(
        default=None,
        metadata={"help": "How often --augmentation randaugment erases a box of the image. [0.25]"},
    )
    max_length_seconds: float = field(
        default=20.0,
        metadata={
            "help": "Sound: longer clips are cut, at random in training and to their middle in evaluation; a "
            "model of shorter clips cuts to its own length."
        },
    )
    time_shift_ms: float = field(
        default=100.0, metadata={"help": "The largest shift of --augmentation time_shift and specaugment."}
    )
    spec_masks: int = field(
        default=2, metadata={"help": "--augmentation specaugment: masks in time, and as many in frequency."}
    )
    spec_mask_share: float = field(
        default=0.2, metadata={"help": "The longest mask of --augmentation specaugment, of the clip or the bands."}
    )
    ood: dict | str | None = field(
        default=None,
        metadata={
            "help": "Out-of-distribution data for the report, as name: source, the source being what "
            '--dataset_name takes or a Parquet file. On the command line as JSON: \'{"svhn": "path/to/svhn"}\'.'
        },
    )

    data_license: str | None = field(
        default=None,
        metadata={"help": "The licence of the data, for the card. [what the data set's card on the Hub says]"},
    )

    _argument_group_name = "data"

    def __post_init__(self) -> None:
        if self.dataset_name is None and not self.train_file:
            raise ValueError("no data: set dataset_name (a Hub id, a folder or 'digits') or train_file")
        if not self.train_file and (self.validation_file or self.test_file):
            raise ValueError("validation_file and test_file go with train_file: set it too")
        self.ood = as_mapping("ood", self.ood)
        check_positive(
            self, "max_train_samples", "max_eval_samples", "max_test_samples", "shuffle_buffer", "cutout"
        )
        if self.streaming and self.data_in_memory:
            raise ValueError("streaming stores nothing and data_in_memory everything: leave one of them out")
        for name in ("max_train_samples", "validation_fraction", "label_noise") if self.streaming else ():
            if getattr(self, name):
                raise ValueError(
                    f"{name} needs the rows of the whole set, which streaming does not know: drop one"
                )
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding is a number of pixels from 0, not {self.crop_padding}")
        if not 0 <= self.split_seed < 2**32:
            raise ValueError(f"split_seed is a whole number from 0, below 2³², not {self.split_seed}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction lies between 0 and 1, not {self.test_fraction}")
        for name in ("validation_fraction", "label_noise"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is a share from 0 to below 1, not {getattr(self, name)}")
        if self.test_split == "train":
            raise ValueError("test_split is not train: where there is no other split, set test_fraction")
        if self.validation_fraction and self.validation_file:
            raise ValueError("validation_fraction and validation_file contradict each other: give one of them")
        self._check_augmentation()

    def _check_augmentation(self) -> None:
        if not 0.0 < self.crop_scale <= 1.0:
            raise ValueError(f"crop_scale is a share above 0, up to 1, not {self.crop_scale}")
        if self.cutout is not None and self.augmentation not in (None, *IMAGE_AUGMENTATIONS[1:]):
            raise ValueError(
                f"cutout blanks a square of an image, with augmentation {self.augmentation}: drop one"
            )
        kinds = ("randaugment", "randaugment_levels")
        for name, largest, fitting in (
            ("randaugment_magnitude", 10, kinds),
            ("erasing_probability", 1, kinds[:1]),
        ):
            value = getattr(self, name)
            if value is not None and self.augmentation not in fitting:
                raise ValueError(
                    f"{name} goes with augmentation {' or '.join(fitting)}, not with "
                    f"{self.augmentation or 'none given'}"
                )
            if value is not None and not 0 <= value <= largest:
                raise ValueError(f"{name} lies between 0 and {largest}, not {value}")
        if self.max_length_seconds <= 0:
            raise ValueError(f"max_length_seconds is a number of seconds above 0, not {self.max_length_seconds}")
        if self.time_shift_ms < 0:
            raise ValueError(f"time_shift_ms is a number of milliseconds from 0, not {self.time_shift_ms}")
        if self.spec_masks < 0 or not 0 <= self.spec_mask_share < 1:
            raise ValueError(
                f"spec_masks is a number from 0 and spec_mask_share a share below 1, not {self.spec_masks} and "
                f"{self.spec_mask_share}"
            )
