"""Suffixes of files: which of them Pillow and libsndfile open, and why the others are left out."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import soundfile
from PIL import EpsImagePlugin, ImageFile
from PIL import Image as PILImage

from hfmix.data import heif

ROWS = frozenset({".parquet", ".csv", ".tsv"})
LISTS = ROWS | {".jsonl"}  # files that can hold paths and labels
ARCHIVES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip")

# libsndfile looks at the content, not at the suffix, so these are the usual suffixes of each of its formats, but
# not those that other programs use for other data: .mat of Matlab, .raw (without a header), .sf, .sd2 and .xi
_OF_FORMAT = {
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "AVR": (".avr",),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "HTK": (".htk",),
    "IRCAM": (".ircam",),
    "MP3": (".mp3", ".mp2", ".mpga"),
    "NIST": (".nist", ".sph"),
    "OGG": (".ogg", ".oga", ".opus"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "RF64": (".rf64",),
    "SDS": (".sds",),
    "SVX": (".iff", ".svx", ".8svx"),
    "VOC": (".voc",),
    "W64": (".w64",),
    "WAV": (".wav", ".wave", ".bwf"),
    "WVE": (".wve",),
}
_COMPRESSED = frozenset({"gz", "bz2", "xz"})
_SOUND_OF_OTHERS = frozenset(
    {".m4a", ".aac", ".wma", ".amr", ".ape", ".wv", ".ac3", ".mka", ".m4b", ".3gp", ".mp4", ".webm", ".mov"}
)
_RAW_PHOTOGRAPHS = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"})
_HEADER_ONLY = frozenset({"MPEG"})  # formats of which Pillow reads the size alone, beside its stubs


@cache
def image_suffixes() -> frozenset[str]:
    """Returns the suffixes of the images that Pillow opens here, lower case; with pillow-heif also its own."""
    heif.add_heif()
    suffixes = {suffix for suffix, name in PILImage.registered_extensions().items() if _opens(name)}
    return frozenset(suffixes | {".mpo"} if ".jpg" in suffixes else suffixes)  # the opener of JPEG opens MPO too


@cache
def sound_suffixes() -> frozenset[str]:
    """Returns the suffixes of the sound that libsndfile opens here, lower case."""
    return frozenset(suffix for name in soundfile.available_formats() for suffix in _OF_FORMAT.get(name, ()))


SUFFIXES: Mapping[str, Callable[[], frozenset[str]]] = MappingProxyType(
    {"image": image_suffixes, "audio": sound_suffixes}
)


def suffix_of(name: str) -> str:
    """Returns a file name's suffix in lower case, such as ".png" or ".tar.gz"; empty if there is none."""
    stem, dot, suffix = name.lower().rpartition(".")
    if suffix in _COMPRESSED and stem.endswith(".tar"):
        return f".tar.{suffix}"
    return dot + suffix if stem else ""


def kind_of_closed(suffix: str) -> str | None:
    """Returns "image" or "audio" for a suffix of images or sound that cannot be opened here, else None."""
    if suffix in heif.SUFFIXES | _RAW_PHOTOGRAPHS:
        return "image"
    return "audio" if suffix in _SOUND_OF_OTHERS else None


def why_left_out(suffix: str, kind: str) -> str:
    """Returns why files of this suffix are no part of a folder of a kind, to follow "3 files left out: "."""
    shown = suffix or "a name without a suffix"
    if suffix in heif.SUFFIXES and suffix not in image_suffixes():
        return f"{suffix} needs hfmix[heic] (pip install 'hfmix[heic]')"
    if suffix in _RAW_PHOTOGRAPHS:
        return f"{suffix} is a camera's raw format, which Pillow does not open: convert to .jpg or .png"
    if kind == "audio" and suffix in _SOUND_OF_OTHERS:
        return f"{suffix} is nothing that libsndfile opens: convert to .flac or .wav (ffmpeg -i x{suffix} x.flac)"
    if suffix in ARCHIVES:
        return f"{suffix} is an archive: unpack it to use what is inside"
    if kind == "audio":
        return f"{shown} is no sound that libsndfile opens"
    return f"{shown} is no image that Pillow opens"


def _opens(name: str) -> bool:
    PILImage.init()
    if name not in PILImage.OPEN or name in _HEADER_ONLY:
        return False
    if name == "EPS":
        return bool(EpsImagePlugin.has_ghostscript())
    factory = PILImage.OPEN[name][0]
    return not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
