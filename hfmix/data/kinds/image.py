"""Images as they are stored, decoded and preprocessed."""

import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from datasets import Image
from PIL import Image as PILImage
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import default_collate

from hfmix.data import heif  # noqa: F401 - registers an opener
from hfmix.data.kinds.base import FileCells, Kind, imported_on_call, unreadable

T = TypeVar("T")
_ORIENTATION = 0x0112  # EXIF's tag for how an image is turned


class ImageCells(FileCells):
    """A column of images as they are stored."""

    kind = "image"
    feature = Image(decode=False)
    fact_names = ("width", "height")

    @staticmethod
    def decode(cell: dict[str, Any] | None, where: str) -> PILImage.Image:
        """Decodes a cell, ``{"bytes": …, "path": …}``, to RGB.

        Raises:
            ValueError: it cannot be read, or has more than 8 bits a channel; `where` names it.
        """
        return _opened(cell, where, lambda image: ImageOps.exif_transpose(_loaded(image))).convert("RGB")

    @staticmethod
    def facts(cell: dict[str, Any] | None, where: str) -> tuple[float, float]:
        """Returns an image's width and height in pixels, as it will be seen; a JPEG is decoded at 1/8 scale.

        Raises:
            ValueError: as `decode`.
        """

        def size(image: PILImage.Image) -> tuple[float, float]:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
            image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
            _loaded(image)
            return (height, width) if turned else (width, height)

        return _opened(cell, where, size)

    @staticmethod
    def content(image: PILImage.Image) -> bytes:
        """Returns the bytes that identify an image: its size and its pixels."""
        return f"{image.size}".encode() + image.tobytes()


class ImagePreprocessor:
    """An image processor in two halves: resize and crop, then normalisation.

    Args:
        processor: any callable ``(images=..., return_tensors="pt")`` that returns ``pixel_values``. If it states
            its mean and standard deviation (as timm's and transformers' do), the halves can be separated, and
            corruptions are applied between them.
    """

    max_batch_size: int | None = None

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.statistics = _statistics(processor)

    @property
    def separable(self) -> bool:
        """Tells whether normalisation can be undone; if not, corruptions are applied before the processor."""
        return self.statistics is not None

    def features(self, example: PILImage.Image) -> dict[str, Tensor]:
        """Computes the model's input for one image."""
        return {"pixel_values": self.pixel_values([example])[0]}

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stacks images of the model's size into a batch."""
        return default_collate(list(rows))

    def inputs(self, examples: Sequence[PILImage.Image]) -> dict[str, Tensor]:
        """Computes the model's inputs for a batch of images."""
        return {"pixel_values": self.pixel_values(list(examples))}

    def pixel_values(self, images: list[PILImage.Image]) -> Tensor:
        """Returns the processor's ``pixel_values`` of the images, (B, C, H, W)."""
        return self.processor(images=images, return_tensors="pt")["pixel_values"]

    def levels(self, pixel_values: Tensor) -> Tensor:
        """Undoes normalisation: (B, H, W, C) uint8, the images after resize and crop."""
        mean, std = (t.to(pixel_values.device) for t in self.statistics)
        return ((pixel_values * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def normalize(self, levels: Tensor, memory_format: torch.memory_format = torch.preserve_format) -> Tensor:
        """Normalises (B, H, W, C) uint8 to the model's input, (B, C, H, W) float32."""
        mean, std = (t.to(levels.device) for t in self.statistics)
        pixels = levels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return pixels.div_(255).sub_(mean).div_(std)


def _opened(cell: dict[str, Any] | None, where: str, use: Callable[[PILImage.Image], T]) -> T:
    """Opens an image and returns what `use` makes of it, with errors that name the row and the file."""
    if not cell or (cell["bytes"] is None and not cell["path"]):
        raise ValueError(f"{where} is not an image that can be read: it is empty")
    try:
        with PILImage.open(io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"]) as image:
            mode, result = image.mode, use(image)
    except Exception as error:  # Pillow's decoders raise many kinds
        raise unreadable(cell, where, ImageCells.kind, error) from error
    if mode.startswith(("I", "F")):
        path = f" ({cell['path']})" if cell["path"] else ""
        raise ValueError(
            f"{where}{path} has mode {mode!r}, more than 8 bits a channel: convert it to 8 bits first"
        )
    return result


def _loaded(image: PILImage.Image) -> PILImage.Image:
    image.load()
    return image


def _statistics(processor: Any) -> tuple[Tensor, Tensor] | None:
    """Returns mean and standard deviation on the scale [0, 1], each (C, 1, 1); None if the processor has none."""
    if hasattr(processor, "data_config"):  # timm's
        mean, std = processor.data_config["mean"], processor.data_config["std"]
    elif getattr(processor, "do_rescale", False) and abs(getattr(processor, "rescale_factor", 0) * 255 - 1) < 1e-6:
        normalizes = getattr(processor, "do_normalize", False)
        mean, std = (processor.image_mean, processor.image_std) if normalizes else ([0.0] * 3, [1.0] * 3)
    else:
        return None
    return tuple(torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (mean, std))


def input_size(processor: Any) -> tuple[int, int]:
    """Returns the (height, width) of the processor's images.

    Raises:
        ValueError: the processor does not state it.
    """
    if hasattr(processor, "data_config"):  # timm's
        return tuple(processor.data_config["input_size"][1:])
    for name in ("crop_size", "size"):
        size = getattr(processor, name, None)
        if name == "crop_size" and not getattr(processor, "do_center_crop", False):
            continue
        if size and "height" in size:
            return size["height"], size["width"]
        if size and "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
    raise ValueError(f"{type(processor).__name__} does not state the size of its images: set augmentation to none")


IMAGE = Kind("image", ImageCells, ImagePreprocessor, imported_on_call("hfmix.data.augment.image", "ToPixels"))
