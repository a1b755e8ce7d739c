"""A column of images, decoded when they are asked for."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage
from PIL import ImageOps


@dataclass(frozen=True, eq=False)
class ImageCells:
    """Images as they are stored.

    Attributes:
        cells: a data set with one column, the images, not decoded yet.
    """

    cells: Dataset
    kind: ClassVar[str] = "image"

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def of(cls, dataset: Dataset, column: str, name: str) -> "ImageCells":
        """A column of `dataset`.

        Raises:
            ValueError: it does not hold images, files or bytes; `name` says of which set.
        """
        if not _readable(dataset.features, column):
            raise ValueError(
                f"column {column!r} of the {name} set does not hold images but {dataset.features[column]}"
            )
        return cls(dataset.select_columns([column]).cast_column(column, Image(decode=False)))

    def read(self, row: int, where: str) -> PILImage.Image:
        """An image, decoded to RGB.

        Raises:
            ValueError: it cannot be read, or has more than 8 bits a channel; `where` names the row.
        """
        (cell,) = self.cells[row].values()
        return self.decode(cell, where)

    @staticmethod
    def decode(cell: dict[str, Any] | None, where: str) -> PILImage.Image:
        """A cell, ``{"bytes": …, "path": …}``. Raises: as `read`."""
        if not cell or (cell["bytes"] is None and not cell["path"]):
            raise ValueError(f"{where} is not an image that can be read: it is empty")
        return read_image(io.BytesIO(cell["bytes"]) if cell["bytes"] is not None else cell["path"], where)

    @staticmethod
    def content(image: PILImage.Image) -> bytes:
        """What makes the image this one and no other: its size and its pixels."""
        return f"{image.size}".encode() + image.tobytes()


def _readable(features: Features, column: str) -> bool:
    feature = features[column]
    return isinstance(feature, Image) or (isinstance(feature, Value) and feature.dtype in ("string", "binary"))


def read_image(source: str | Path | BinaryIO, where: str) -> PILImage.Image:
    """An image, decoded to RGB and turned as its EXIF data say.

    Raises:
        ValueError: it cannot be read, or has more than 8 bits a channel; `where` names it.
    """
    try:
        image = PILImage.open(source)
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders raise many kinds
        path = f" ({source})" if isinstance(source, str) else ""
        raise ValueError(f"{where}{path} is not an image that can be read: {error}") from error
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"{where} has mode {image.mode!r}, more than 8 bits a channel: convert it to 8 bits first"
        )
    return image.convert("RGB")
