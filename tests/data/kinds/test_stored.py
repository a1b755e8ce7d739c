"""Images and sound in every type that Arrow has for bytes and paths."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from datasets import Dataset
from PIL import Image

from hfmix.data.splits import as_labelled


def encoded(kind, i):
    file = io.BytesIO()
    if kind == "image":
        Image.new("RGB", (5, 4), (40 * i, 0, 0)).save(file, "PNG")
    else:
        soundfile.write(file, np.full(80, i / 4, dtype=np.float32), 8000, format="WAV", subtype="FLOAT")
    return file.getvalue()


FORMS = {
    "binary": lambda files, paths: pa.array(files),
    "large_binary": lambda files, paths: pa.array(files, pa.large_binary()),
    "binary_view": lambda files, paths: pa.array(files, pa.binary_view()),
    "string": lambda files, paths: pa.array(paths),
    "large_string": lambda files, paths: pa.array(paths, pa.large_string()),
    "string_view": lambda files, paths: pa.array(paths, pa.string_view()),
    "dictionary": lambda files, paths: pa.array(paths).dictionary_encode(),
    "bytes and path": lambda files, paths: pa.array(
        [{"bytes": file, "path": path} for file, path in zip(files, paths, strict=True)]
    ),
    "large bytes and path": lambda files, paths: pa.array(
        [{"bytes": file, "path": None} for file in files],
        pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())]),
    ),
    "only bytes": lambda files, paths: pa.array([{"bytes": file} for file in files]),
    "only path": lambda files, paths: pa.array([{"path": path} for path in paths]),
    "a slice": lambda files, paths: pa.array([{"bytes": b"other"}, *({"bytes": file} for file in files)])[1:],
    "chunks": lambda files, paths: pa.chunked_array([files[:1], files[1:]], pa.large_binary()),
}


@pytest.mark.parametrize("kind", ["image", "audio"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", ["photo_or_clip", None])
def test_a_column_is_found_and_read(tmp_path, kind, form, column):
    files = [encoded(kind, i) for i in range(3)]
    paths = [str(tmp_path / f"{i}.{'png' if kind == 'image' else 'wav'}") for i in range(3)]
    for file, path in zip(files, paths, strict=True):
        Path(path).write_bytes(file)
    rows = {column or kind: FORMS[form](files, paths), "label": ["a", "b", "a"]}
    data = as_labelled(Dataset(pa.table(rows)))
    assert data.kind == kind and data.labels.tolist() == [0, 1, 0]
    assert bool(data.notes) is (column is not None)
    example = data.example(1)
    if kind == "image":
        assert example.size == (5, 4) and example.getpixel((0, 0)) == (40, 0, 0)
    else:
        assert example.sampling_rate == 8000 and (example.samples == 0.25).all()


def test_an_empty_cell_is_named_by_its_row():
    rows = {"image": pa.array([encoded("image", 0), None], pa.large_binary()), "label": ["a", "b"]}
    with pytest.raises(ValueError, match="data row 1 is not an image that can be read: it is empty"):
        as_labelled(Dataset(pa.table(rows))).example(1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image": [[[1, 2], [3, 4]]] * 2},
            "does not hold images but lists of lists of int64: set image_column_name",
        ),
        ({"image": [{"width": 3}] * 2}, "does not hold images but records of width"),
        ({"image": pa.nulls(2)}, "no column to learn from besides the classes"),
        ({"vector": [[1.0]] * 2}, "no column 'image', only vector (lists of float64) and label (words)"),
    ],
)
def test_what_is_no_image_is_named(columns, message):
    with pytest.raises(ValueError) as error:
        as_labelled(Dataset(pa.table({**columns, "label": ["a", "b"]})))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "content", "kind"),
    [
        (".aif", "AIFF", "audio"),
        (".oga", "OGG", "audio"),
        (".snd", "AU", "audio"),
        (".jfif", "JPEG", "image"),
        (".webp", "WEBP", "image"),
        (".avif", "AVIF", "image"),
        (".tif", "TIFF", "image"),
    ],
)
def test_suffixes_and_bytes_are_known_as_in_folders(tmp_path, suffix, content, kind):
    """A column of paths, and one of bytes, whose format is told neither by a usual name nor by the column's."""
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for i, file in enumerate(files):
        if kind == "image":
            Image.new("RGB", (16, 16), (99 * i, 0, 0)).save(file, content)
        else:
            soundfile.write(file, np.full(8000, 0.5), 8000, format=content)
    rows = {"where": [str(file) for file in files], "label": ["a", "b"]}
    assert as_labelled(Dataset(pa.table(rows))).kind == kind
    if suffix != ".snd":  # whose bytes nothing else knows
        rows = {"what": [file.read_bytes() for file in files], "label": ["a", "b"]}
        assert as_labelled(Dataset(pa.table(rows))).kind == kind
