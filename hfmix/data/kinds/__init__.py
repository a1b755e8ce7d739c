"""The kinds of input that hfmix trains on, a file each: images, sound, tables."""

from typing import Any

from hfmix.data.kinds.audio import SoundPreprocessor
from hfmix.data.kinds.base import Preprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.kinds.table import TablePreprocessor


def preprocessor_for(kind: str, processor: Any) -> Preprocessor:
    """The one for a kind of data, "image", "audio" or "table"."""
    kinds = {"image": ImagePreprocessor, "audio": SoundPreprocessor, "table": TablePreprocessor}
    return kinds[kind](processor)
