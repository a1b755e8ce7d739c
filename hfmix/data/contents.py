"""Recognition of files that are not what their name says, by their first bytes."""

from pathlib import Path

from hfmix.data.heif import add_heif

HEAD = 512
"""Number of bytes that `content_of` looks at."""

_IMAGE, _SOUND, _ROWS = "image", "audio", "rows"
# beginning, what it is, and the kind of input that it can be
_BEGINNINGS: tuple[tuple[bytes, str, str | None], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull", None),
    (b"%PDF", "a PDF", None),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV", None),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV", None),
    (b"\x1f\x8b", "compressed by gzip: unpack it", None),
    (b"ARROW1", "an Arrow file: write it as Parquet", None),
    (b"PAR1", "a Parquet file", _ROWS),
    (b"\x89PNG", "a PNG image", _IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", _IMAGE),
    (b"GIF8", "a GIF image", _IMAGE),
    (b"BM", "a BMP image", _IMAGE),
    (b"II*\0", "a TIFF image", _IMAGE),
    (b"MM\0*", "a TIFF image", _IMAGE),
    (b"OggS", "Ogg sound", _SOUND),
    (b"fLaC", "FLAC sound", _SOUND),
    (b"ID3", "MP3 sound", _SOUND),
    (b"\xff\xfb", "MP3 sound", _SOUND),
    (b"FORM", "AIFF sound", _SOUND),
)
_RIFF: dict[bytes, tuple[str, str | None]] = {
    b"WAVE": ("WAV sound", _SOUND),
    b"WEBP": ("a WebP image", _IMAGE),
}
_HEIC = "a HEIC image, which hfmix[heic] reads"
_BRANDS: dict[bytes, tuple[str, str | None]] = {
    b"heic": (_HEIC, _IMAGE),
    b"heix": (_HEIC, _IMAGE),
    b"mif1": (_HEIC, _IMAGE),
    b"avif": ("an AVIF image", _IMAGE),
    b"M4A ": ("M4A sound: convert it to FLAC or WAV", None),
    b"qt  ": ("a QuickTime film", None),
}


def content_of(source: bytes | str | Path, expected: str) -> str | None:
    """Returns what a file really is by its first bytes, such as "a web page".

    Args:
        source: the file's content, or its path.
        expected: the kind of input that it should be, "image" or "audio", or "rows" for Parquet and CSV files.

    Returns:
        None if the bytes say nothing, or if the file is of the expected kind, in a format that can be read.
    """
    try:
        head = source[:HEAD] if isinstance(source, bytes) else _head(Path(source))
    except OSError:
        return None
    if not head:
        return "empty"
    what, kind = _recognised(head)
    # a table's first column may well be called ID3
    is_word = expected == _ROWS and kind in (_IMAGE, _SOUND)
    is_readable = kind == expected and (what != _HEIC or add_heif())
    return None if is_word or is_readable else what


def kind_of_bytes(content: bytes) -> str | None:
    """Returns the kind of input that a file's first bytes tell, "image" or "audio"; None if they tell none."""
    kind = _recognised(content[:HEAD])[1]
    return kind if kind in (_IMAGE, _SOUND) else None


def _recognised(head: bytes) -> tuple[str | None, str | None]:
    """Returns what a file is, and the kind of input that it can be; None for what is not known."""
    if head and not any(head):
        return "nothing but zeros: it was not written to its end", None
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, as after a failed download", None
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing or other XML", None
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], ("an MP4 file", None))
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], ("a RIFF file, such as a film", None))
    return next(
        ((what, kind) for beginning, what, kind in _BEGINNINGS if head.startswith(beginning)), (None, None)
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
