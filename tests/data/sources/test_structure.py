"""Splits and classes from the names of folders: what is clear is read, and what can mean two things is refused."""

import unicodedata

import pytest
from files import classes, left_out, put, read, two

from hfmix.data.sources.folder import Reading, open_folder
from hfmix.data.sources.split_words import splits_of_folders


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (two("cat", "dog"), {"train": {"cat": 2, "dog": 2}}),
        (two("a b/cat", "a b/dog"), {"train": {"cat": 2, "dog": 2}}),  # a folder around all
        ([*two("images/cat", "images/dog"), "notes/1.xml"], {"train": {"cat": 2, "dog": 2}}),
        (two("Train/x", "Train/y", "VAL/x", "Testing/y"),
         {"train": {"x": 2, "y": 2}, "validation": {"x": 2, "y": 0}, "test": {"x": 0, "y": 2}}),
        (two("d/training/x", "d/training/y", "d/evaluation/x"),
         {"train": {"x": 2, "y": 2}, "test": {"x": 2, "y": 0}}),
        (two("train_images/x", "train_images/y", "test-set/x"),
         {"train": {"x": 2, "y": 2}, "test": {"x": 2, "y": 0}}),
        (two("s_train/s_train/x", "s_train/s_train/y", "s_test/s_test/x", "s_pred/s_pred"),
         {"train": {"x": 2, "y": 2}, "test": {"x": 2, "y": 0}}),
        (two("x/train", "x/test", "y/train", "y/test"), {"train": {"x": 2, "y": 2}, "test": {"x": 2, "y": 2}}),
        (two("bus", "car", "train"), {"train": {"bus": 2, "car": 2, "train": 2}}),
        (two("train/car", "train/train", "test/car", "test/train"),
         {"train": {"car": 2, "train": 2}, "test": {"car": 2, "train": 2}}),
        (two("cat/day1", "cat/day 2", "dog/Day_1"), {"train": {"cat": 4, "dog": 2}}),
        (two("fold1/cat", "fold1/dog", "fold2/cat"), {"train": {"cat": 4, "dog": 2}}),
        (two("train/x/images", "train/y/images", "val/images"), {"train": {"x": 2, "y": 2}}),  # val: unlabelled
        (two("train/x", "train/y", "test"), {"train": {"x": 2, "y": 2}}),  # as on Kaggle
        (two("cat", "cat/more", "dog"), {"train": {"cat": 4, "dog": 2}}),
        (two("latest", "contest"), {"train": {"latest": 2, "contest": 2}}),
        ([f"{c}/{name}.png" for c in "xy" for name in ("model-train 0", "photo of test tubes", "val")],
         {"train": {"x": 3, "y": 3}}),
        (two("train/x", "train/y", "test/x", "test/z"),  # z is for a later message
         {"train": {"x": 2, "y": 2}, "test": {"x": 2, "y": 0, "z": 2}}),
    ],
)  # fmt: skip
def test_what_is_clear_is_read(tmp_path, files, expected):
    assert classes(open_folder(put(tmp_path, files))) == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (two("cat/in", "cat/out", "dog/in", "dog/out"), "the top folders (cat and dog) or the deepest ones (in"),
        (two("animal/cat", "animal/dog", "thing/car"), "the top folders (animal and thing) or the deepest ones ("),
        (two("stage1/ann", "stage2/bob"), "set class_folder to top or deepest"),
        (two("cat", "dog/more"), "set class_folder to top or deepest"),
        (two("cat"), "there is only one class, cat"),
        (two("train/cat", "test/cat"), "there is only one class, cat"),
        (two("cat/day1", "cat/day2"), "there is only one class, cat"),
        (["0.png", "1.png"], "2 files lie directly in the folder itself: make one subfolder per class"),
        (two("train", "test"), "4 files lie directly in test and train"),
        ([*two("cat", "dog"), *(f"{i}.png" for i in range(5))], "5 files lie directly in the folder itself, and"),
        (two("fold1", "fold2"), "seem to divide the data and to be no classes"),
        (two("train/x", "train/y", "val/x", "dev/y"), "the folders dev and val would both be the validation set"),
        (two("x/val", "y/validation", "x/train", "y/train"), "the folders val and validation would both be"),
        (two("train/x", "train/y", "Train/x"), "the folders Train and train would both be the train set"),
        (two("bus", "car", "train/old", "train/new"), "train can be a split, with classes in it, or a class"),
        (two("cat/train", "cat/test", "dog"), "cat/test names a split and dog none"),
        (two("train/test/x", "train/test/y"), "names two splits, train and test"),
        ([*two("cat", "dog"), "emu/"], "the class folder emu holds no images that can be read: it is empty"),
        ([*two("cat", "dog"), "emu/day1/"], "the class folder emu holds no images that can be read: it is empty"),
        ([*two("cat", "dog"), "emu/a.PDF"], "emu holds no images that can be read: 1 × .pdf is no image"),
        ([*two("train/x", "train/y", "test/x"), "test/y/1.txt"], "the class folder test/y holds no images"),
        ([*two("cat", "dog"), "emu/a.dng"], ".dng is a camera's raw format"),
        ([*two("no", "yes", suffix="wav"), "off/a.m4a"], ".m4a is nothing that libsndfile opens: convert"),
        ([*two("cat", "dog"), *two("cat", "dog", suffix="wav")], "holds 4 images and 4 clips, and a model"),
        ([f"{unicodedata.normalize(form, 'é')}/0.png" for form in ("NFC", "NFD")] + two("a"), "two folders in"),
        (["a.docx", "b.txt", "c"], "no Parquet and no CSV files in the folder"),
        (["a.m4a"], "only 1 × .m4a is nothing that libsndfile opens: convert to"),
    ],
)  # fmt: skip
def test_what_means_two_things_or_loses_a_class_is_refused(tmp_path, files, message):
    with pytest.raises(ValueError) as error:
        open_folder(put(tmp_path, files))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_option_chooses_the_class_folder(tmp_path):
    root = put(tmp_path, two("cat/in", "cat/out", "dog/in", "dog/out"))
    top, deepest = (open_folder(root, Reading(class_folder=level)) for level in ("top", "deepest"))
    assert classes(top) == {"train": {"cat": 4, "dog": 4}} and classes(deepest) == {"train": {"in": 4, "out": 4}}
    assert [path for path, _ in read(deepest, root)["train"]] == two("cat/in", "dog/in", "cat/out", "dog/out")


def test_rows_are_sorted_by_class_and_then_by_path(tmp_path):
    """As torchvision's ImageFolder does; "a-b" sorts before "a/" as a string."""
    root = put(tmp_path, ["a-b/1.png", "a/2.png", "a/10.png", "Z/0.png"])
    assert read(open_folder(root), root)["train"] == [
        ("Z/0.png", "Z"), ("a/10.png", "a"), ("a/2.png", "a"), ("a-b/1.png", "a-b")
    ]  # fmt: skip


def test_what_was_left_out_and_decided_is_said(tmp_path):
    files = [*two("train/x", "train/train", "val/x"), "extra/x/0.png", "cover.jpg", "README.md", "a.parquet"]
    opened = open_folder(put(tmp_path, [*files, "train/x/notes.txt", "val/0.heic", "val/0.png"]))
    assert opened.origins == {"train": "the folder train", "validation": "the folder val"}
    reasons = left_out(opened)
    assert reasons.pop("directly in val, in no class folder") == ("val/0.png",)
    assert reasons.pop("beside the folders train and val, in no split") == ("cover.jpg", "extra/x/0.png")
    assert {item for items in reasons.values() for item in items} == {
        "README.md", "a.parquet", "train/x/notes.txt", "val/0.heic"
    }  # fmt: skip
    assert opened.notes == (
        "train: read as a class, not as a split, like x beside",
        "the validation set has no example of train",
    )


def test_sound_with_a_cover_is_sound(tmp_path):
    opened = open_folder(put(tmp_path, [*two("no", "yes", suffix="wav"), "cover.png", "no/spectrum.png"]))
    assert list(opened["train"].features) == ["audio", "label"] and len(opened["train"]) == 4
    assert left_out(opened) == {".png is no sound that libsndfile opens": ("cover.png", "no/spectrum.png")}


def test_data_without_classes_needs_no_folders(tmp_path):
    root = put(tmp_path, ["0.png", "b/1.png"])
    opened = open_folder(root, Reading(labelled=False))
    assert read(opened, root) == {"train": [("0.png", None), ("b/1.png", None)]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["TRAIN", "Val", "dev", "eval"], ["train", "validation", "validation", "test"]),
        (["test_images", "train-set", "validation data 2"], ["test", "train", "validation"]),
        (["cifar-train", "cifar-test"], ["train", "test"]),
        (["cifar-train", "mnist-test", "test tubes", "strain", "latest", "train_test", "trains"], []),
    ],
)
def test_words_of_splits(names, splits):
    assert splits_of_folders(names) == dict(zip(names, splits, strict=False))
