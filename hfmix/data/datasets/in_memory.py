"""A split of images as one tensor in memory, which returns whole batches without a Python loop over examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torchvision.transforms import v2

from hfmix.data.arguments import DataArguments
from hfmix.data.augment.batch import ShiftFlipCut, check_reflection, cut_out_
from hfmix.data.augment.image import kind_of_augmentation, randaugment_magnitude
from hfmix.data.augment.randaugment import BatchRandAugment
from hfmix.data.datasets.decoded_cache import check_memory, decoded
from hfmix.data.kinds import KINDS
from hfmix.data.kinds.image import ImagePreprocessor, input_size
from hfmix.data.labelled import LabelledData
from hfmix.utils.environment import versions

_REPEAT = 2**40  # more than there are rows: keeps the draws of a row's repeats within an epoch apart


class InMemoryExamples(Dataset):
    """A data set of whole batches: ``pixel_values``, (B, C, H, W) float32 normalised, and ``labels``.

    A DataLoader passes it the positions of a batch; samplers, sharding over processes and resuming work as with
    `Examples`. Images are decoded once, at the size that the model takes, and augmented as a batch, each by draws
    that depend only on the seed, the epoch and its row in the data set. The draws differ from those of `Examples`
    but have the same distribution; without augmentation both return the same. With train_crop none, the
    processor's resize comes before `randaugment_levels` here and after it there.

    Args:
        data: the split, of images.
        processor: the model's processor, which has to state its mean and standard deviation.
        augment: the augmentation; None for evaluation.
        seed: seed of the augmentation; None if `augment` is None.
        device: where the images are kept and the batches are made.
        channels_last: memory format of the batches.
        progress: show a progress bar while decoding.

    Raises:
        ValueError: the data are not images of one size, the processor's steps cannot be separated, or the
            augmentation works image by image.
        MemoryError: the images do not fit; the message says how much memory they need.
    """

    in_memory = True
    takes_repeats = True  # position + r * N is the r-th repeat of a position within an epoch, augmented anew

    def __init__(
        self,
        data: LabelledData,
        processor: Any,
        augment: DataArguments | None = None,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        progress: bool = True,
    ) -> None:
        if data.kind != "image":
            examples = KINDS[data.kind].words.examples
            raise ValueError(f"data_in_memory is for images, not for {examples}: leave it out")
        self.data, self.seed = data, seed
        self.preprocessor = ImagePreprocessor(processor)
        if not self.preprocessor.separable:
            raise ValueError(
                f"data_in_memory normalises whole batches, but {type(processor).__name__} does not state its mean "
                f"and standard deviation: leave it out"
            )
        self.augment = None if kind_of_augmentation(augment) == "none" else augment
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        images = decoded(data, *self._preparation(processor), progress)
        if torch.device(device).type == "cuda":
            check_memory(len(images), images.shape[1:], torch.cuda.mem_get_info(device)[0], "the GPU's memory")
        self.images = images.to(device)
        self.labels = torch.from_numpy(np.ascontiguousarray(data.labels)).to(device)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # shared with persistent workers

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch before each pass; `MixTrainer` and accelerate's data loaders call it."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([position]).items()}

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Returns the batch of these positions."""
        device = self.images.device
        repeat, positions = np.divmod(np.asarray(positions), len(self))
        chosen = torch.from_numpy(positions)
        where = chosen.to(device)
        cut = None
        if self.augment is None:
            levels = self.images.index_select(0, where)
        else:
            rows = self.data.rows[positions] + repeat * _REPEAT
            cut = self._draw(rows)
            levels = cut.apply(self.images, where)
            if self.augment.augmentation == "randaugment_levels":
                magnitude = randaugment_magnitude(self.augment)
                levels = BatchRandAugment.sample(rows, self.seed, int(self._epoch), magnitude).apply(levels)
        pixels = self.preprocessor.normalize(levels, self.format)
        if cut is not None and cut.centre is not None:
            cut_out_(pixels, cut.centre, self.augment.cutout)
        return {"pixel_values": pixels, "labels": self.labels.index_select(0, where)}

    @staticmethod
    def collate(batch: Mapping[str, Tensor] | Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Serves as a DataLoader's `collate_fn`: returns a whole batch as it is; stacks single examples."""
        return dict(batch) if isinstance(batch, Mapping) else default_collate(list(batch))

    def _draw(self, rows: np.ndarray) -> ShiftFlipCut:
        augment = self.augment
        return ShiftFlipCut.sample(
            rows,
            self.seed,
            int(self._epoch),
            tuple(self.images.shape[1:3]),
            padding=augment.crop_padding if augment.train_crop == "pad" else 0,
            flip=augment.horizontal_flip,
            cutout=augment.cutout is not None,
            alternate=augment.alternating_flip,
            reflect=augment.crop_padding_mode == "reflect",
        )

    def _preparation(self, processor: Any) -> tuple[Any, str | None]:
        """Returns the function from an image to a row of the tensor, and its description for the cache."""
        if self.augment is not None:
            if self.augment.augmentation == "randaugment":
                raise ValueError(
                    "augmentation randaugment rotates and shears images one by one, but data_in_memory changes "
                    "whole batches: set randaugment_levels, or leave data_in_memory out"
                )
            if self.augment.train_crop == "resized":
                raise ValueError(
                    "train_crop resized needs the original image for every crop, but data_in_memory keeps it at "
                    "one size: set train_crop to pad or none, or leave data_in_memory out"
                )
            if self.augment.train_crop == "pad":
                size = input_size(processor)
                if self.augment.crop_padding_mode == "reflect":
                    check_reflection(size, self.augment.crop_padding)
                resize = v2.Resize(size)
                return lambda image: np.asarray(resize(image)), _in_words(f"resize {size}")
        settings = processor.to_json_string() if hasattr(processor, "to_json_string") else None
        return self._processed, None if settings is None else _in_words(settings)

    def _processed(self, image: Image.Image) -> np.ndarray:
        """Returns an image as the processor has it before normalisation, (H, W, C) uint8.

        Raises:
            ValueError: the processor has further steps, so that its output cannot be recomputed from these levels.
        """
        pixels = self.preprocessor.pixel_values([image])
        levels = self.preprocessor.levels(pixels)
        if not torch.allclose(self.preprocessor.normalize(levels), pixels, atol=1e-4):
            raise ValueError(
                f"{type(self.preprocessor.processor).__name__} does more than resize, crop and normalise 8-bit "
                f"images, which data_in_memory would lose: leave it out"
            )
        return levels[0].numpy()


def _in_words(steps: str) -> str:
    libraries = versions()
    return "\n".join([steps, *(f"{name} {libraries.get(name)}" for name in ("pillow", "torchvision", "timm"))])
