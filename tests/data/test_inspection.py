"""The inspection before training: what was understood, and every example that cannot be read, all at once."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import clips, tone
from PIL import Image as PILImage
from PIL import ImageOps

from hfmix.data.arguments import DataArguments
from hfmix.data.contents import content_of
from hfmix.data.examination import examine
from hfmix.data.inspection import Inspection, inspect_data
from hfmix.data.kinds.image import ImageCells
from hfmix.data.splits import as_labelled


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def folder_of_images(folder: Path, count: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)
            PILImage.fromarray(pixels).save(folder / name / f"{i}.jpg")
    return folder


def truncated(folder: Path) -> bytes:
    whole = (folder / "cat" / "0.jpg").read_bytes()
    return whole[: len(whole) // 2]


def sixteen_bits(_: Path) -> bytes:
    import io

    buffer = io.BytesIO()
    PILImage.fromarray(np.full((9, 9), 1000, dtype=np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


BAD_FILES = {
    "truncated": (truncated, "truncated"),
    "empty": (lambda _: b"", "it is empty"),
    "a page": (lambda _: b"\n <!DOCTYPE html><html>404</html>", "it is a web page"),
    "a pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "zeros": (lambda _: bytes(999), "not written to its end"),
    "text": (lambda _: b"Not an image at all.", "cannot identify image file"),
    "pdf": (lambda _: b"%PDF-1.7\n%", "it is a PDF"),
    "sixteen bits": (sixteen_bits, "more than 8 bits a channel"),
}


def test_all_bad_images_are_listed_at_once_with_their_files(tmp_path):
    folder = folder_of_images(tmp_path / "images")
    for name, (content, _) in BAD_FILES.items():
        (folder / "dog" / f"{name}.jpg").write_bytes(content(folder))
    inspection = inspect_data(DataArguments(str(folder), test_fraction=0.3), seed=0)
    assert len(inspection.unreadable) == len(BAD_FILES)  # of both splits
    for name, (_, reason) in BAD_FILES.items():
        (message,) = [text for text in inspection.unreadable if f"{name}.jpg" in text]
        assert reason in message and "\n" not in message and "0x" not in message
    lines: list[str] = []
    with pytest.raises(ValueError, match=r"8 images cannot be used \(.* in train, .* in test; listed above\)"):
        inspection.usable(False, lines.append)
    assert len(lines) == len(BAD_FILES)
    usable = inspection.usable(True, lines.append)
    kept = {usable[split].place(i) for split in usable for i in range(len(usable[split]))}
    assert len(kept) == 12 and not any(name in text for text in kept for name in BAD_FILES)


def test_a_class_must_not_vanish_with_its_bad_files(tmp_path):
    folder = folder_of_images(tmp_path / "images")
    for file in (folder / "cat").iterdir():
        file.write_bytes(b"")
    inspection = inspect_data(DataArguments(str(folder)), seed=0)
    with pytest.raises(
        ValueError, match="no example of 'cat' in the train set can be used: a class must not vanish"
    ):
        inspection.usable(True, lambda text: None)


def test_what_was_read_is_kept_until_a_file_changes(tmp_path, monkeypatch):
    folder = folder_of_images(tmp_path / "images")
    data = inspect_data(DataArguments(str(folder)), seed=0).splits["train"]
    calls: list[str] = []
    facts = ImageCells.facts
    monkeypatch.setattr(
        ImageCells, "facts", staticmethod(lambda cell, where: calls.append("") or facts(cell, where))
    )
    again = examine(data)
    assert not calls and again.facts["width"].tolist() == [60.0] * len(data)
    path = Path(data.stored([2])[0]["path"])
    path.write_bytes(b"")
    assert list(examine(data).unreadable) == [2] and len(calls) == len(data)
    for file in (tmp_path / "cache" / "hfmix").iterdir():
        file.write_bytes(b"damaged")
    assert list(examine(data).unreadable) == [2] and len(calls) == 2 * len(data)


def test_facts_are_those_of_the_decoded_image(tmp_path):
    """At reduced scale and turned as EXIF says, as Pillow has it."""
    rng = np.random.default_rng(1)
    for i, orientation in enumerate([1, 3, 5, 6, 8]):
        exif = PILImage.Exif()
        exif[0x0112] = orientation
        file = tmp_path / f"{i}.jpg"
        PILImage.fromarray(rng.integers(0, 256, (33, 57 + i, 3), dtype=np.uint8)).save(file, exif=exif)
        with PILImage.open(file) as image:
            expected = ImageOps.exif_transpose(image).size
        assert ImageCells.facts({"bytes": None, "path": str(file)}, "x") == expected


def test_clips_of_every_fault(tmp_path):
    rate = 8000
    for name in ("no", "yes"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for i in range(4):
            soundfile.write(tmp_path / "clips" / name / f"{i}.wav", tone(440, 0.1 + i / 10, rate), rate)
    odd = tmp_path / "clips" / "yes"
    soundfile.write(odd / "nan.wav", np.array([0.1, np.nan], dtype=np.float32), rate, subtype="FLOAT")
    soundfile.write(odd / "none.wav", np.empty(0, dtype=np.float32), rate)
    soundfile.write(odd / "short.wav", tone(440, 0.02, rate), rate)
    (odd / "page.wav").write_text("<html></html>")
    inspection = inspect_data(DataArguments(str(tmp_path / "clips")), seed=0)
    assert (
        "clips: from 0.02 to 0.4 s, median" in inspection.summary.text() and "8000 Hz" in inspection.summary.text()
    )
    texts = " ".join(inspection.unreadable)
    assert all(f"{name}.wav" in texts for name in ("nan", "none", "page")) and "short" not in texts
    (short,) = set(inspection.with_shortest(0.025).unreadable) - set(inspection.unreadable)
    assert "short.wav) is 0.02 s long, and the model needs 0.025 s" in short
    assert inspection.with_shortest(0.0199).unreadable == inspection.unreadable


def test_the_summary_says_what_was_understood(tmp_path):
    folder = folder_of_images(tmp_path / "images")
    for i in range(4):
        (folder / "dog" / f"{i}.jpg").unlink()
    args = DataArguments(str(folder), test_fraction=0.25)
    summary = inspect_data(args, seed=0).summary
    text = summary.text()
    assert text.startswith("data: images, 2 classes: cat, dog\n")
    assert "train  6 images  from 2 of 'dog' to 4 of 'cat'" in text and "1 of 2 classes have none" in text
    assert "0.25 of the train set, drawn by split_seed 0, stratified by class" in text
    assert "pixels: from 60×40 to 60×45" in text
    content = summary.to_dict()
    assert content["splits"]["train"]["class_counts"] == {"cat": 4, "dog": 2}
    assert content["facts"]["height"]["max"] == 45 and content["unreadable"] == 0
    assert str(tmp_path) not in str(content)


def test_iris_and_clips_are_summarised_as_what_they_are():
    text = inspect_data(DataArguments("iris"), seed=0).summary.text()
    assert "data: tables, 3 classes: setosa, versicolor, virginica" in text
    assert "columns: 4 features (" in text and "classes from 'label'" in text
    data = as_labelled(clips([tone(440, 0.5), tone(440, 0.25)], [0, 1]), name="train")
    summary = Inspection({"train": data}, {"train": examine(data)}).summary
    assert summary.facts["seconds"] == (0.25, 0.375, 0.5) and "1 of each class" in summary.text()


@pytest.mark.parametrize(
    ("content", "expected", "what"),
    [
        (b"", "image", "empty"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "image", "WAV sound"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio", None),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image", None),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "audio", "a RIFF file, such as a film"),
        (struct.pack(">I", 24) + b"ftypheic", "audio", "a HEIC image, which hfmix[heic] reads"),
        (struct.pack(">I", 24) + b"ftypM4A ", "audio", "M4A sound: convert it to FLAC or WAV"),
        (struct.pack(">I", 24) + b"ftypisom", "image", "an MP4 file"),
        (b"\xff\xd8\xff\xe0", "image", None),
        (b"\xff\xd8\xff\xe0", "audio", "a JPEG image"),
        (b"<?xml version='1.0'?><svg/>", "image", "an SVG drawing or other XML"),
        (b"just some text", "image", None),
    ],
)
def test_files_are_called_what_they_are(content, expected, what):
    assert content_of(content, expected) == what


def test_an_archive_is_called_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.jpg", "w") as archive:
        archive.writestr("a", "b")
    assert (
        content_of(tmp_path / "images.jpg", "image")
        == "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"
    )
    assert content_of(tmp_path / "absent", "image") is None
