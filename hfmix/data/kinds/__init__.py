"""The kinds of input that hfmix trains on, one file each: images, sound, tables."""

from typing import Any

from hfmix.data.kinds.audio import AUDIO
from hfmix.data.kinds.base import Kind, Preprocessor
from hfmix.data.kinds.image import IMAGE
from hfmix.data.kinds.table import TABLE

KINDS: dict[str, Kind] = {kind.name: kind for kind in (IMAGE, AUDIO, TABLE)}


def preprocessor_for(kind: str, processor: Any) -> Preprocessor:
    """Wraps a processor in the preprocessor of a kind of input ("image", "audio" or "table")."""
    return KINDS[kind].preprocessor(processor)
