"""Every suffix that the walk takes is opened by its library, and the rest is named."""

import io
import sys

import numpy as np
import pytest
import soundfile
from clips import tone
from files import classes, put, two
from PIL import Image as PILImage
from PIL import features

from hfmix.data import heif
from hfmix.data.sources import suffixes
from hfmix.data.sources.folder import open_folder
from hfmix.data.sources.suffixes import image_suffixes, sound_suffixes, suffix_of
from hfmix.data.splits import as_labelled

PIXELS = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".png", "PNG"), (".apng", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG"), (".jfif", "JPEG"),
        (".gif", "GIF"), (".bmp", "BMP"), (".dib", "DIB"), (".webp", "WEBP"), (".avif", "AVIF"),
        (".tif", "TIFF"), (".TIFF", "TIFF"), (".ppm", "PPM"), (".pnm", "PPM"), (".tga", "TGA"), (".ico", "ICO"),
        (".jp2", "JPEG2000"), (".j2k", "JPEG2000"), (".pcx", "PCX"), (".sgi", "SGI"), (".dds", "DDS"),
        (".mpo", "MPO"), (".qoi", "QOI"),
    ],
)  # fmt: skip
def test_images_of_each_format_are_read_as_pillow_reads_them(tmp_path, suffix, name):
    """The same pixels as by Pillow, and those that were written where the format loses nothing."""
    if name in ("WEBP", "AVIF") and not features.check(name.lower()):
        pytest.skip(f"Pillow without {name}")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        PILImage.fromarray(PIXELS).save(tmp_path / folder / f"x{suffix}", format=name)
    read = np.asarray(as_labelled(open_folder(tmp_path)["train"]).example(1))
    with PILImage.open(tmp_path / "b" / f"x{suffix}") as image:
        np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))
    if name in ("PNG", "BMP", "DIB", "TIFF", "PPM", "TGA", "PCX", "SGI", "QOI"):
        np.testing.assert_array_equal(read, PIXELS)


@pytest.mark.parametrize(
    ("suffix", "name", "subtype"),
    [
        (".wav", "WAV", "PCM_16"), (".wave", "WAV", "PCM_24"), (".flac", "FLAC", "PCM_16"),
        (".ogg", "OGG", "VORBIS"), (".oga", "OGG", "VORBIS"), (".opus", "OGG", "OPUS"),
        (".mp3", "MP3", "MPEG_LAYER_III"), (".aif", "AIFF", "PCM_16"), (".AIFF", "AIFF", "PCM_16"),
        (".aifc", "AIFF", "PCM_16"), (".au", "AU", "PCM_16"), (".snd", "AU", "ULAW"), (".caf", "CAF", "PCM_16"),
        (".w64", "W64", "PCM_16"), (".rf64", "RF64", "PCM_16"), (".sph", "NIST", "PCM_16"),
        (".voc", "VOC", "PCM_16"), (".iff", "SVX", "PCM_16"), (".htk", "HTK", "PCM_16"),
    ],
)  # fmt: skip
def test_sound_of_each_format_is_read_as_soundfile_reads_it(tmp_path, suffix, name, subtype):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / f"x{suffix}"
        with file.open("w+b") as stream:  # by the format's name, since most suffixes are unknown to soundfile
            buffer = io.BytesIO()
            soundfile.write(buffer, tone(440, 0.1), 16_000, format=name, subtype=subtype)
            stream.write(buffer.getvalue())
    sound = as_labelled(open_folder(tmp_path)["train"]).example(1)
    samples, rate = soundfile.read(file, dtype="float32")
    np.testing.assert_array_equal(sound.samples, samples)
    assert sound.sampling_rate == rate and len(samples) >= 1600


def test_what_the_libraries_cannot_open_is_not_taken():
    assert not image_suffixes() & {".pdf", ".h5", ".hdf", ".grib", ".mpg", ".palm", ".svg", ".txt"}
    assert not sound_suffixes() & {".raw", ".mat", ".m4a", ".aac", ".sf", ".txt"}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.PNG", ".png"),
        ("a.b.Tar.GZ", ".tar.gz"),
        ("a.gz", ".gz"),
        ("a", ""),
        (".png", ""),
        ("a.", "."),
        ("é.é", ".é"),
    ],
)
def test_the_suffix_of_a_name(name, suffix):
    assert suffix_of(name) == suffix


def test_without_the_extra_heic_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heif.add_heif.cache_clear()
    image_suffixes.cache_clear()
    with pytest.raises(ValueError, match=r"emu holds no images .*: 1 × \.heic needs hfmix\[heic\]"):
        open_folder(put(tmp_path, [*two("cat", "dog"), "emu/1.HEIC"]))
    heif.add_heif.cache_clear()
    image_suffixes.cache_clear()


def test_with_the_extra_heic_is_an_image_like_others(tmp_path, monkeypatch):
    """Stands in for the package, whose opener is registered with the first such file."""
    registered = []

    class Package:
        @staticmethod
        def register_heif_opener():
            registered.append(".heic")
            PILImage.register_open("HEIF", lambda file, name: PILImage.new("RGB", (7, 5)))
            PILImage.register_extension("HEIF", ".heic")

    monkeypatch.setitem(sys.modules, "pillow_heif", Package)
    monkeypatch.setattr(PILImage, "OPEN", dict(PILImage.OPEN))
    monkeypatch.setattr(PILImage, "EXTENSION", dict(PILImage.EXTENSION))
    monkeypatch.setattr(PILImage, "ID", list(PILImage.ID))
    heif.add_heif.cache_clear()
    suffixes.image_suffixes.cache_clear()
    put(tmp_path, ["cat/1.heic", "emu/1.HEIC"])
    for file in tmp_path.glob("*/*"):
        file.write_bytes(b"\0\0\0\x1cftypheic" + bytes(16))
    opened = open_folder(tmp_path)
    assert classes(opened) == {"train": {"cat": 1, "emu": 1}} and registered == [".heic"]
    assert as_labelled(opened["train"]).example(1).size == (7, 5)
    heif.add_heif.cache_clear()
    suffixes.image_suffixes.cache_clear()
