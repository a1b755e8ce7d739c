"""Sources by their names: paths with any character, archives, what save_to_disk wrote, and what is not there."""

import shutil
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, load_dataset
from files import classes, left_out, put, two
from PIL import Image as PILImage

from hfmix.data.arguments import DataArguments
from hfmix.data.sources.open import open_dataset, open_files
from hfmix.data.splits import as_labelled, load_splits, open_ood

NAMES = [
    "a b",
    "a*",
    "a?",
    "[a]",
    "p::q",
    "#1",
    "50%25",
    "{a,b}",
    "zip__a",
    "back\\slash",
    'it\'s "q"',
    "-o",
    "日本",
]
NAMES += [unicodedata.normalize("NFD", "é"), "new\nline"]


def small(red=0) -> Dataset:
    images = [PILImage.new("RGB", (2, 2), (red, i, 0)) for i in range(4)]
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])})
    return Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)


def test_a_folder_and_its_files_can_have_any_name(tmp_path):
    """Each row is the file of its own name, decoded: no pattern gathers the neighbours' files."""
    root = tmp_path / "p::q [1]*"
    for i, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for j in range(2):
            PILImage.new("RGB", (1, 1), (i, j, 0)).save(root / name / f"{name}{j}.png")
    data = as_labelled(open_dataset(str(root))["train"])
    pixels = [data.example(i).getpixel((0, 0)) for i in range(len(data))]
    assert sorted(pixels) == [(i, j, 0) for i in range(len(NAMES)) for j in range(2)]
    own = [unicodedata.normalize("NFC", NAMES[red]) for red, _, _ in pixels]
    assert own == [data.class_names[label] for label in data.labels]
    stream = list(open_dataset(str(root), streaming=True)["train"])
    assert [row["image"]["path"] for row in stream] == [cell["path"] for cell in data.stored(range(len(data)))]


@pytest.mark.parametrize("name", NAMES)
def test_files_of_rows_can_lie_anywhere(tmp_path, name):
    (tmp_path / name).mkdir()
    small().to_parquet(tmp_path / "tmp.parquet")
    for split in ("train", "test"):
        (tmp_path / name / f"{split}.parquet").write_bytes((tmp_path / "tmp.parquet").read_bytes())
    for streaming in (False, True):
        opened = open_dataset(str(tmp_path / name), streaming=streaming)
        assert list(opened) == ["train", "test"] and sum(1 for _ in opened["test"]) == 4
    assert as_labelled(open_dataset(str(tmp_path / name))["train"]).example(3).getpixel((0, 0)) == (0, 3, 0)


def test_files_of_rows_by_their_splits(tmp_path):
    for name in ("train", "data_test", "latest_contest", "blood_test_values"):
        (tmp_path / f"{name}.csv").write_text("a,label\n1,x\n2,y\n")
    opened = open_dataset(str(tmp_path))
    assert opened.origins == {"train": "train.csv", "test": "data_test.csv"}
    assert left_out(opened) == {
        "names no split, as train.csv does": ("blood_test_values.csv", "latest_contest.csv")
    }
    (tmp_path / "train.csv").unlink()
    opened = open_dataset(str(tmp_path))
    assert len(opened["train"]) == 4 and opened.left_out == ()


def test_parquet_beside_pictures_of_a_page_is_the_data(tmp_path):
    small().to_parquet(tmp_path / "train.parquet")
    opened = open_dataset(str(put(tmp_path, ["assets/logo.png", "README.md"])))
    assert len(opened["train"]) == 4 and left_out(opened) == {"beside the Parquet files": ("assets/logo.png",)}
    (tmp_path / "labels.csv").write_text("a,label\n1,x\n")
    with pytest.raises(ValueError, match="holds 1 Parquet and 1 CSV files: give those to use by train_file"):
        open_dataset(str(tmp_path))


def test_class_folders_beside_parquet_files_of_splits_are_refused(tmp_path):
    small().to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="holds 4 images and 1 Parquet files of splits"):
        open_dataset(str(put(tmp_path, two("cat", "dog"))))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "a Git LFS pointer, not the",
        ),
        ("train.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "run git lfs pull"),
        ("train.parquet", b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        ("train.csv", b"PK\x03\x04", "save the sheet as CSV"),
        ("train.csv", b"\xd0\xcf\x11\xe0\xa1", "an old Excel workbook"),
        ("train.csv", b"PAR1", "but a Parquet file: rename it to train.parquet"),
        ("train.csv", b"\x1f\x8b\x08", "compressed by gzip: unpack it"),
        ("train.parquet", b"<!doctype html><html>", "a web page, as after a failed download"),
        ("train.parquet", b"ARROW1\0\0", "an Arrow file: write it as Parquet"),
        ("train.parquet", b"", "is not a Parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for call in (
        lambda: open_dataset(str(tmp_path)),
        lambda: open_files(DataArguments(train_file=[str(tmp_path / name)])),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert message in str(error.value) and str(tmp_path / name) in str(error.value)


def test_what_save_to_disk_wrote_is_opened(tmp_path):
    small().save_to_disk(tmp_path / "one")
    DatasetDict({"train": small(), "val": small(7)}).save_to_disk(tmp_path / "two")
    assert as_labelled(open_dataset(str(tmp_path / "one"))["train"]).labels.tolist() == [0, 1, 0, 1]
    opened = open_dataset(str(tmp_path / "two"))
    assert list(opened) == ["train", "validation"]
    assert as_labelled(opened["validation"]).example(2).getpixel((0, 0)) == (7, 2, 0)
    assert sum(1 for _ in open_dataset(str(tmp_path / "two"), streaming=True)["train"]) == 4


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_is_a_folder(tmp_path, cache, image_folder, suffix):
    file = tmp_path / f"set{suffix}"

    def pack():
        files = sorted(image_folder.rglob("*.png"))
        if suffix == ".zip":
            with zipfile.ZipFile(file, "w") as archive:
                for path in files:
                    archive.write(path, path.relative_to(image_folder.parent))
        else:
            with tarfile.open(file, "w:gz" if suffix == ".tar.gz" else "w") as archive:
                for path in files:
                    archive.add(path, path.relative_to(image_folder.parent))

    pack()
    assert classes(open_dataset(str(file))) == {"train": {"blue": 6, "red": 6}}
    (image_folder / "red" / "0.png").unlink()
    pack()
    assert classes(open_dataset(str(file))) == {"train": {"blue": 6, "red": 5}}  # no stale copy
    with pytest.raises(ValueError, match=r"holds archives, such as set.*: unpack them there, or name one of them"):
        (tmp_path / "alone").mkdir()
        open_dataset(str(file.rename(tmp_path / "alone" / file.name).parent))


def test_an_archive_writes_nowhere_else(tmp_path, cache):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil.png"))
    with pytest.raises(ValueError, match=r"bad\.tar cannot be unpacked"):
        open_dataset(str(tmp_path / "bad.tar"))
    (tmp_path / "no.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"no\.zip cannot be unpacked"):
        open_dataset(str(tmp_path / "no.zip"))


def test_shards_of_a_webdataset(tmp_path, image_folder):
    shards = tmp_path / "shards"
    shards.mkdir()
    for split in ("train", "val"):
        with tarfile.open(shards / f"{split}-000.tar", "w") as archive:
            for i, file in enumerate(sorted(image_folder.rglob("*.png"))):
                archive.add(file, f"{i:04d}.png")
                (tmp_path / "cls").write_text(str(i // 6))
                archive.add(tmp_path / "cls", f"{i:04d}.cls")
    splits = load_splits(DataArguments(str(shards), test_split="validation"), seed=0)
    assert splits["test"].labels.tolist() == [0] * 6 + [1] * 6
    assert max(np.asarray(splits["test"].example(6)).reshape(-1, 3).tolist()) == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("imagess", "did you mean '{0}/images'?"),
        ("IMAGES", "did you mean '{0}/images'?"),
        ("images/rde", "did you mean '{0}/images/red'?"),
        ("imagse/red", "there is no 'imagse' in '{0}'; did you mean '{0}/images'?"),
        ("zzz/yyy/xxx", "there is no 'zzz' in '{0}'"),
    ],
)
def test_a_path_that_is_not_there_is_no_question_for_the_hub(tmp_path, image_folder, no_network, name, hint):
    with pytest.raises(ValueError) as error:
        open_dataset(str(tmp_path / name))
    assert hint.format(tmp_path) in str(error.value)
    with pytest.raises(ValueError, match="no file"):
        open_files(DataArguments(train_file=[str(tmp_path / name)]))


@pytest.mark.parametrize("source", ["./org/name", "../x", "~/x", "a/b/c", "images/rde", "image/", "a\\b"])
def test_words_that_are_meant_as_paths(image_folder, no_network, monkeypatch, source):
    monkeypatch.chdir(image_folder.parent)
    with pytest.raises(ValueError, match="no data set"):
        open_dataset(source)


def test_the_home_folder_is_expanded(image_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(image_folder.parent))
    assert classes(open_dataset("~/images")) == {"train": {"blue": 6, "red": 6}}
    (image_folder.parent / "t.csv").write_text("a,label\n1,x\n2,y\n")
    assert len(open_files(DataArguments(train_file=["~/t.csv"]))["train"]) == 2
    assert len(open_ood({"x": str(Path("~/images/red"))})["x"]) == 6


def test_where_imagefolder_is_right_the_rows_are_its_own(tmp_path, image_folder):
    """In its order, and with its classes, so that figures and fingerprints of such folders stay comparable."""
    for split in ("train", "test"):
        shutil.copytree(image_folder, tmp_path / "set" / split)
    for folder in (image_folder, tmp_path / "set"):
        theirs, ours = load_dataset("imagefolder", data_dir=str(folder)), open_dataset(str(folder))
        assert list(theirs) == list(ours)
        for split, rows in theirs.items():
            rows = rows.cast_column("image", Image(decode=False))
            assert [row["path"] for row in rows["image"]] == [row["path"] for row in ours[split]["image"]]
            assert list(rows["label"]) == list(ours[split]["label"])
            assert rows.features["label"] == ours[split].features["label"]
