"""Options for the data: what to train and evaluate on, and how training examples are augmented."""

from dataclasses import dataclass, field
from typing import Literal

from hfmix.data.sources.embedded import EMBEDDED
from hfmix.utils.arguments import as_mapping, check_positive

IMAGE_AUGMENTATIONS = ("none", "crop_flip", "randaugment", "randaugment_levels")
SOUND_AUGMENTATIONS = ("none", "time_shift", "specaugment")


@dataclass
class DataArguments:
    """Options for the data: the images, clips or tables to train and evaluate on, and their augmentation."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "A Hub id; a folder of images or sound (one subfolder per class, a table of paths and labels "
            "such as metadata.csv, or Parquet files), or of CSV files; a .zip or .tar file of such a folder; or a "
            f"data set that comes with hfmix: {', '.join(EMBEDDED)}."
        },
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the Hub data set, where it has several."}
    )
    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "One or more Parquet or CSV files (.csv, .tsv, .txt, .data) to train on, of rows or of paths "
            "and labels, instead of --dataset_name."
        },
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet or CSV files to evaluate on during training."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Parquet or CSV files to measure the robustness report on."}
    )
    image_column_name: str | None = field(
        default=None, metadata={"help": "Column of images. [`image`, or the only column of images]"}
    )
    audio_column_name: str | None = field(
        default=None, metadata={"help": "Column of clips. [`audio`, or the only column of sound]"}
    )
    label_column_name: list[str] | None = field(
        default=None,
        metadata={
            "help": "Column of classes: one class per example, or a list of any number of them; or several "
            "columns of zeros and ones, one per class. [`label`, or the only column of classes, or a table's last "
            "column]"
        },
    )
    label_form: Literal["indices", "multi_hot"] | None = field(
        default=None,
        metadata={
            "help": "What lists of numbers are as labels: `indices` of the classes that an example has, or "
            "`multi_hot`, a zero or one for each class. [found out; needed only where both are possible]"
        },
    )
    feature_column_names: list[str] | None = field(
        default=None,
        metadata={
            "help": "Tables: columns to learn from, of numbers or of words (categories). [all but the label "
            "column and one that numbers the rows]"
        },
    )
    ignore_columns: list[str] | None = field(
        default=None, metadata={"help": "Tables: columns to leave out, such as dates, free text and identifiers."}
    )
    categorical_columns: list[str] | None = field(
        default=None,
        metadata={"help": "Tables: columns of categories even if they are numbers, such as postal codes."},
    )
    missing_values: list[str] | None = field(
        default=None,
        metadata={
            "help": "Tables: what stands for a missing cell, such as n.a. or -999, besides an empty cell and, in "
            "CSV files, ?, NA, N/A, NaN and null."
        },
    )
    class_folder: Literal["top", "deepest"] | None = field(
        default=None,
        metadata={
            "help": "Folders within the class folders of images or sound: whether the `top` folder or the "
            "`deepest` one is the class. [the only reading that makes sense; where both do, this is required]"
        },
    )
    test_split: str = field(
        default="test",
        metadata={"help": "Split to measure the report on, such as `validation` for ImageNet."},
    )
    test_fraction: float = field(
        default=0.2, metadata={"help": "Share of the training data held out as the test set if there is none."}
    )
    validation_fraction: float = field(
        default=0.0,
        metadata={
            "help": "Share of the training data held out to evaluate on during training; the same examples for "
            "every --seed. The test set is not used for this."
        },
    )
    split_seed: int = field(
        default=0,
        metadata={
            "help": "Seed for the examples that --test_fraction and --validation_fraction hold out. Runs with "
            "different values are measured on different examples."
        },
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Read the training data from the Hub or from files as needed and store nothing: for data sets "
            "larger than the disk. The stream never ends, so --max_steps is required, and evaluation and saving "
            "go by steps. Classes must be a ClassLabel, and there must be a test split. The first "
            "--max_test_samples rows of the test split and the first --max_eval_samples rows of the validation "
            "split, if any, are read into memory (all rows if not set). Workers divide the files among them; with "
            "several processes, the main one reads for all."
        },
    )
    shuffle_buffer: int = field(
        default=10_000,
        metadata={
            "help": "--streaming: number of undecoded examples kept in memory to shuffle. If the files are sorted "
            "by class, set it as large as memory allows; 1 keeps the order of the files."
        },
    )
    data_in_memory: bool = field(
        default=False,
        metadata={
            "help": "Decode the images once into one tensor, on the GPU if there is one, and augment and "
            "normalise whole batches: many times faster for small images. Decoded images are kept in the cache of "
            "`datasets` for the next run; if they do not fit in memory, images are read as needed instead. Random "
            "shifts and flips differ from those without this option but have the same distribution. Requires "
            "--train_crop pad or none, and randaugment_levels instead of randaugment; needs no workers."
        },
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Number of training examples to use, drawn by --seed. [all]"}
    )
    max_eval_samples: int | None = field(
        default=None,
        metadata={"help": "Number of validation examples to use; the same ones for every --seed. [all]"},
    )
    max_test_samples: int | None = field(
        default=None, metadata={"help": "Number of test examples to use; the same ones for every --seed. [all]"}
    )
    skip_unreadable: bool = field(
        default=False,
        metadata={
            "help": "Leave out images and clips that cannot be read, and say so in the report and on the card, "
            "instead of stopping before training with a list of them."
        },
    )
    label_noise: float = field(
        default=0.0,
        metadata={
            "help": "Probability of replacing the class of a training example by another one, drawn uniformly "
            "from the other classes. Validation and test labels stay as they are."
        },
    )
    label_noise_seed: int = field(
        default=0,
        metadata={"help": "Seed for the label noise, so that runs of any --seed train on the same wrong labels."},
    )
    augmentation: (
        Literal["none", "crop_flip", "randaugment", "randaugment_levels", "time_shift", "specaugment"] | None
    ) = field(
        default=None,
        metadata={
            "help": "Random changes to training examples, drawn anew each epoch. Images: `crop_flip` applies "
            "--train_crop and --horizontal_flip; `randaugment` applies both, then RandAugment (timm's "
            "rand-m9-mstd0.5-inc1) and random erasing (boxes of noise); `randaugment_levels` applies both, then "
            "RandAugment without rotation, shear and translation, and no erasing. Sound: `time_shift` shifts by "
            "up to --time_shift_ms; `specaugment` adds SpecAugment's masks. [crop_flip for images, none for sound]"
        },
    )
    train_crop: Literal["none", "pad", "resized"] = field(
        default="resized",
        metadata={
            "help": "Random crop in training: `pad` shifts the image by up to --crop_padding pixels (small "
            "images); `resized` crops --crop_scale to 1 of the area and resizes it (photographs); `none` keeps "
            "the processor's own resizing and cropping."
        },
    )
    crop_padding: int = field(default=4, metadata={"help": "Width of the border in pixels for --train_crop pad."})
    crop_padding_mode: Literal["constant", "reflect"] = field(
        default="constant",
        metadata={"help": "Border of --train_crop pad: `constant`, zeros, or `reflect`, the image's reflection."},
    )
    crop_scale: float = field(
        default=0.25,
        metadata={"help": "Smallest share of the area for --train_crop resized; usually 0.08 for ImageNet."},
    )
    horizontal_flip: bool = field(default=True, metadata={"help": "Mirror training images with probability 0.5."})
    alternating_flip: bool = field(
        default=False,
        metadata={
            "help": "Mirror each training image in every other epoch, in even or odd ones at random, instead of "
            "anew with probability 0.5; requires --data_in_memory."
        },
    )
    cutout: int | None = field(
        default=None,
        metadata={
            "help": "Cutout (arXiv 1708.04552): side in pixels of a square to blank at a random place of each "
            "training image, possibly partly outside of it; the paper uses 16 for CIFAR-10, 8 for CIFAR-100. [off]"
        },
    )
    randaugment_magnitude: int | None = field(
        default=None,
        metadata={"help": "Strength of --augmentation randaugment and randaugment_levels, 0 to 10. [9]"},
    )
    erasing_probability: float | None = field(
        default=None,
        metadata={"help": "Probability that --augmentation randaugment erases a box of the image. [0.25]"},
    )
    max_length_seconds: float = field(
        default=20.0,
        metadata={
            "help": "Sound: maximum length of a clip. Longer ones are cut, at a random place in training and to "
            "the middle in evaluation; a model with a shorter fixed length uses that instead."
        },
    )
    time_shift_ms: float = field(
        default=100.0,
        metadata={"help": "Largest shift, in milliseconds, of --augmentation time_shift and specaugment."},
    )
    spec_masks: int = field(
        default=2,
        metadata={"help": "Number of masks of --augmentation specaugment along time, and again along frequency."},
    )
    spec_mask_share: float = field(
        default=0.2,
        metadata={"help": "Longest mask of --augmentation specaugment, as a share of the frames or bands."},
    )
    ood: dict | str | None = field(
        default=None,
        metadata={
            "help": "Out-of-distribution data for the report, as name: source, where a source is anything that "
            '--dataset_name takes or a Parquet file. As JSON on the command line: \'{"svhn": "path/to/svhn"}\'.'
        },
    )

    data_license: str | None = field(
        default=None,
        metadata={
            "help": "Licence of the data, for the model card. [the licence in the data set's card on the Hub]"
        },
    )

    _argument_group_name = "data"

    def __post_init__(self) -> None:
        if isinstance(self.label_column_name, str):
            self.label_column_name = [self.label_column_name]
        read = {*(self.label_column_name or ()), *(self.feature_column_names or ())}
        for columns, others, what in (
            (self.label_column_name, self.feature_column_names, "feature_column_names: the model would copy it"),
            (read, self.ignore_columns, "ignore_columns"),
        ):
            if both := sorted(set(columns or ()) & set(others or ())):
                raise ValueError(f"column {both[0]!r} is the label or an input and cannot be among {what}")
        if self.dataset_name is None and not self.train_file:
            raise ValueError("no data: set dataset_name (a Hub id, a folder or 'digits') or train_file")
        if not self.train_file and (self.validation_file or self.test_file):
            raise ValueError("validation_file and test_file go with train_file: set it too")
        self.ood = as_mapping("ood", self.ood)
        check_positive(
            self, "max_train_samples", "max_eval_samples", "max_test_samples", "shuffle_buffer", "cutout"
        )
        if self.streaming and self.data_in_memory:
            raise ValueError("streaming stores nothing and data_in_memory everything: remove one of them")
        for name in ("max_train_samples", "validation_fraction", "label_noise") if self.streaming else ():
            if getattr(self, name):
                raise ValueError(
                    f"{name} needs all rows of the data set, which streaming does not know: remove one of them"
                )
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must be a number of pixels, 0 or more, not {self.crop_padding}")
        if not 0 <= self.split_seed < 2**32:
            raise ValueError(f"split_seed must be a whole number from 0 to 2³² - 1, not {self.split_seed}")
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(f"test_fraction must be between 0 and 1 (exclusive), not {self.test_fraction}")
        for name in ("validation_fraction", "label_noise"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.test_split == "train":
            raise ValueError("test_split must not be train: if there is no other split, set test_fraction")
        if self.validation_fraction and self.validation_file:
            raise ValueError("validation_fraction and validation_file exclude each other: set only one of them")
        self._check_augmentation()

    def _check_augmentation(self) -> None:
        if not 0.0 < self.crop_scale <= 1.0:
            raise ValueError(f"crop_scale must be above 0 and at most 1, not {self.crop_scale}")
        if self.alternating_flip and not self.horizontal_flip:
            raise ValueError("alternating_flip is a kind of horizontal_flip, which is false: remove one of them")
        if self.alternating_flip and not self.data_in_memory:
            raise ValueError("alternating_flip mirrors whole batches: set data_in_memory too, or leave it out")
        if self.crop_padding_mode == "reflect" and self.train_crop != "pad":
            raise ValueError(f"crop_padding_mode reflect goes with train_crop pad, not {self.train_crop}")
        if self.cutout is not None and self.augmentation not in (None, *IMAGE_AUGMENTATIONS[1:]):
            raise ValueError(
                f"cutout needs an augmentation of images, not {self.augmentation}: remove one of them"
            )
        kinds = ("randaugment", "randaugment_levels")
        for name, largest, fitting in (
            ("randaugment_magnitude", 10, kinds),
            ("erasing_probability", 1, kinds[:1]),
        ):
            value = getattr(self, name)
            if value is not None and self.augmentation not in fitting:
                raise ValueError(
                    f"{name} needs augmentation {' or '.join(fitting)}, not {self.augmentation or 'the default'}"
                )
            if value is not None and not 0 <= value <= largest:
                raise ValueError(f"{name} must be between 0 and {largest}, not {value}")
        if self.max_length_seconds <= 0:
            raise ValueError(f"max_length_seconds must be above 0, not {self.max_length_seconds}")
        if self.time_shift_ms < 0:
            raise ValueError(f"time_shift_ms must be 0 or more, not {self.time_shift_ms}")
        if self.spec_masks < 0 or not 0 <= self.spec_mask_share < 1:
            raise ValueError(
                f"spec_masks must be 0 or more and spec_mask_share at least 0 and below 1, not {self.spec_masks} "
                f"and {self.spec_mask_share}"
            )
