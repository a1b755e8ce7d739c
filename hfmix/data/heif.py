"""HEIC images, as phones take them: read by pillow-heif, an extra that is imported with the first such image."""

from functools import cache
from typing import BinaryIO

from PIL import Image as PILImage

SUFFIXES = frozenset({".heic", ".heif", ".hif"})
# the brands with which such a file can begin
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


@cache
def add_heif() -> bool:
    """Registers pillow-heif's opener with Pillow; returns False if the package is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _accepts(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS and add_heif()


def _open(file: BinaryIO, name: str | bytes) -> PILImage.Image:
    return PILImage.OPEN["HEIF"][0](file, name)


PILImage.register_open("HEIF_ON_USE", _open, _accepts)
