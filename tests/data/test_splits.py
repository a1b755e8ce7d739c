"""Images and classes from every source, with bad ones named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import Columns
from hfmix.data.sources.open import open_dataset
from hfmix.data.sources.split_words import split_of
from hfmix.data.splits import as_labelled, as_unlabelled, load_splits, load_test


def pictures(n=4, mode="RGB"):
    return [PILImage.new(mode, (5, 4), i) for i in range(n)]


def make(labels, feature, images=None, image_column="image", label_column="label"):
    features = Features({image_column: Image(), label_column: feature})
    return Dataset.from_dict(
        {image_column: images or pictures(len(labels)), label_column: labels}, features=features
    )


def test_digits_are_split_once_and_for_all():
    splits = load_splits(DataArguments(dataset_name="digits"), seed=1)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1077, "validation": 180, "test": 540}
    assert splits["train"].class_names == [str(i) for i in range(10)]
    rows = [split.example(i).tobytes() for split in splits.values() for i in range(len(split))]
    assert len(rows) == 1797
    assert np.bincount(splits["test"].labels).min() >= 50
    assert splits["test"].example(0).mode == "RGB" and splits["test"].example(0).size == (8, 8)


def test_photo_patches_look_like_digits():
    patches = as_unlabelled(open_dataset("photo_patches")["test"])
    assert len(patches) == 520 and set(patches.labels) == {-1}
    pixels = np.stack([np.asarray(patches.example(i)) for i in range(len(patches))])
    assert pixels.shape == (520, 8, 8, 3) and (pixels[..., 0] == pixels[..., 2]).all()


def test_a_folder_is_held_out_from_with_equal_shares(image_folder):
    splits = load_splits(DataArguments(dataset_name=str(image_folder), test_fraction=1 / 3), seed=0)
    assert splits["train"].class_names == ["blue", "red"]
    assert np.bincount(splits["test"].labels).tolist() == [2, 2]
    assert not set(splits["train"].rows) & set(splits["test"].rows)
    again = load_splits(DataArguments(dataset_name=str(image_folder), test_fraction=1 / 3), seed=1)
    assert again["test"].rows.tolist() == splits["test"].rows.tolist()


def test_the_held_out_parts_follow_the_split_seed():
    """The test and the validation part; what `load_test` gives is the test part again."""
    parts = {}
    for split_seed in (0, 7):
        args = DataArguments("iris", validation_fraction=0.25, split_seed=split_seed)
        splits = load_splits(args, seed=0)
        parts[split_seed] = {name: split.rows.tolist() for name, split in splits.items()}
        assert sorted(row for rows in parts[split_seed].values() for row in rows) == list(range(150))
        assert np.bincount(splits["test"].labels).tolist() == [10, 10, 10]
        assert load_test("iris", split_seed=split_seed).rows.tolist() == parts[split_seed]["test"]
    assert all(parts[0][name] != parts[7][name] for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("labels", "feature", "names", "indices"),
    [
        ([1, 0, 1], ClassLabel(names=["cat", "dog"]), ["cat", "dog"], [1, 0, 1]),
        (["dog", "ant", "dog"], Value("string"), ["ant", "dog"], [1, 0, 1]),
        ([2, 0, 2], Value("int64"), ["0", "2"], [1, 0, 1]),
    ],
)
def test_classes_of_every_kind(labels, feature, names, indices):
    found = as_labelled(make(labels, feature))
    assert found.class_names == names and found.labels.tolist() == indices


def test_classes_are_matched_by_name():
    test = make([0, 1, 1], ClassLabel(names=["dog", "cat"]))
    assert as_labelled(test, class_names=["cat", "dog", "emu"]).labels.tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="unknown classes: dog"):
        as_labelled(test, class_names=["cat", "emu"])


def test_columns_are_found_by_their_kind():
    odd = make([0, 1], ClassLabel(names=["a", "b"]), image_column="img", label_column="fine")
    assert as_labelled(odd).labels.tolist() == [0, 1]


def test_parquet_files_and_folders(tmp_path):
    make([0, 1, 1], ClassLabel(names=["a", "b"])).to_parquet(tmp_path / "train-0.parquet")
    make([1, 1], ClassLabel(names=["a", "b"])).to_parquet(tmp_path / "test.parquet")
    by_folder = load_splits(DataArguments(dataset_name=str(tmp_path)), seed=0)
    by_file = load_splits(
        DataArguments(train_file=[str(tmp_path / "train-0.parquet")], test_file=[str(tmp_path / "test.parquet")]),
        seed=0,
    )
    for splits in (by_folder, by_file):
        assert splits["train"].labels.tolist() == [0, 1, 1] and splits["test"].labels.tolist() == [1, 1]


def test_a_sample_is_drawn_by_its_seed():
    data = as_labelled(make(list(range(40)), Value("int64"), images=pictures(40)))
    first, again, other = data.sample(9, seed=0), data.sample(9, seed=0), data.sample(9, seed=1)
    assert first.rows.tolist() == again.rows.tolist() != other.rows.tolist()
    assert first.labels.tolist() == first.rows.tolist()
    assert data.sample(None, 0) is data.sample(40, 0) is data


def test_a_validation_set_is_held_out_from_the_training_data_alone(tmp_path):
    make([0, 1] * 20, ClassLabel(names=["a", "b"]), images=pictures(40)).to_parquet(tmp_path / "train.parquet")
    files = {"train_file": [str(tmp_path / "train.parquet")]}
    whole = load_splits(DataArguments(**files), seed=0)
    splits = load_splits(DataArguments(**files, validation_fraction=0.25, max_train_samples=20), seed=0)
    again = load_splits(DataArguments(**files, validation_fraction=0.25, max_eval_samples=3), seed=1)
    assert splits["test"].rows.tolist() == whole["test"].rows.tolist()
    assert sorted([*splits["validation"].rows, *again["train"].rows]) == whole["train"].rows.tolist()
    assert np.bincount(splits["validation"].labels).tolist() == [4, 4] and len(splits["train"]) == 20
    assert len(again["validation"]) == 3 and set(again["validation"].rows) < set(splits["validation"].rows)
    with pytest.raises(ValueError, match="has its own validation set: leave validation_fraction out"):
        load_splits(DataArguments("digits", validation_fraction=0.1), seed=0)


def test_another_split_can_be_the_test_set():
    usual = load_splits(DataArguments("digits"), seed=0)
    splits = load_splits(DataArguments("digits", test_split="validation"), seed=0)
    assert splits.keys() == {"train", "test"}
    assert splits["test"].labels.tolist() == usual["validation"].labels.tolist()
    with pytest.raises(ValueError, match="no split 'dev' to test on, only train, validation, test"):
        load_splits(DataArguments("digits", test_split="dev"), seed=0)


def test_label_noise_is_of_its_probability_and_always_wrong():
    """1,077 digits at .4: a share within .065 of it, 4.3 standard deviations; χ² over the 9 other classes."""
    clean = load_splits(DataArguments("digits"), seed=0)
    noisy = load_splits(DataArguments("digits", label_noise=0.4), seed=0)
    train = noisy["train"]
    changed = train.labels != train.true_labels
    assert train.true_labels.tolist() == clean["train"].labels.tolist()
    assert abs(changed.mean() - 0.4) < 0.065 and train.num_changed_labels == changed.sum()
    shift = np.bincount((train.labels - train.true_labels)[changed] % 10, minlength=10)
    expected = changed.sum() / 9
    assert shift[0] == 0 and ((shift[1:] - expected) ** 2 / expected).sum() < 35  # P < 1e-4 at 8 degrees
    for split in ("validation", "test"):
        assert noisy[split].labels.tolist() == clean[split].labels.tolist()
        assert noisy[split].true_labels is None and noisy[split].num_changed_labels == 0


def test_label_noise_follows_its_seed_and_the_row_alone():
    arguments = {"label_noise": 0.3}
    train = load_splits(DataArguments("digits", **arguments), seed=0)["train"]
    part = load_splits(DataArguments("digits", **arguments, max_train_samples=300), seed=7)["train"]
    assert part.labels.tolist() == train.labels[np.searchsorted(train.rows, part.rows)].tolist()
    clean = replace(train, labels=train.true_labels, true_labels=None)
    order = np.random.default_rng(0).permutation(len(train))
    assert clean.select(order).with_label_noise(0.3, 0).labels.tolist() == train.labels[order].tolist()
    assert clean.with_label_noise(0.3, 1).labels.tolist() != train.labels.tolist()
    more, changed = clean.with_label_noise(0.6, 0), train.labels != train.true_labels
    assert (more.labels[changed] == train.labels[changed]).all() and more.num_changed_labels > changed.sum()
    renamed = train.with_classes(train.class_names[::-1])
    assert renamed.labels.tolist() == (9 - train.labels).tolist()
    assert renamed.true_labels.tolist() == (9 - train.true_labels).tolist()
    with pytest.raises(ValueError, match="noise already"):
        train.with_label_noise(0.1, 0)


def test_a_broken_image_is_named_by_its_row(image_folder):
    broken = sorted(image_folder.rglob("*.png"))[3]
    broken.write_bytes(broken.read_bytes()[:40])
    data = as_labelled(open_dataset(str(image_folder))["train"], name="train")
    with pytest.raises(ValueError, match=rf"train row 3 \(.*{broken.name}\) is not an image that can be read"):
        data.select(np.array([1, 3])).example(1)


def test_photographs_are_turned_upright(tmp_path):
    picture = PILImage.new("RGB", (40, 20))
    exif = picture.getexif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        picture.save(tmp_path / str(i) / "a.jpg", exif=exif)
    assert as_labelled(open_dataset(str(tmp_path))["train"]).example(0).size == (20, 40)


def test_a_transform_set_by_the_user_does_not_matter():
    data = make([0, 1], ClassLabel(names=["a", "b"])).with_transform(lambda rows: {"pixel_values": [0]})
    assert as_labelled(data).labels.tolist() == [0, 1]
    assert as_unlabelled(data).example(1).size == (5, 4)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("data/test.parquet", "test"),
        ("validation/0000.parquet", "validation"),
        ("val_1.parquet", "validation"),
        ("strain_images.parquet", "train"),
        ("strain/test.parquet", "test"),
        ("train/test-0.parquet", "test"),
        ("latest.parquet", "train"),
        ("part-0.parquet", "train"),
    ],
)
def test_a_file_s_split_is_a_word_of_its_name(path, split):
    assert (split_of(Path(path)) or "train") == split


def test_sixteen_bits_are_refused():
    data = as_labelled(make([0, 1], Value("int64"), images=[PILImage.new("I;16", (4, 4))] * 2))
    with pytest.raises(ValueError, match="row 0 has mode 'I;16'"):
        data.example(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DataArguments(), "no data: set dataset_name"),
        (lambda: DataArguments("digits", test_file=["a.parquet"]), "test_file go with train_file"),
        (
            lambda: DataArguments("digits", max_train_samples=-1),
            "max_train_samples is a whole number from 1, not -1",
        ),
        (
            lambda: DataArguments("digits", alternating_flip=True),
            "alternating_flip mirrors whole batches: set data_in_memory too",
        ),
        (
            lambda: DataArguments("digits", alternating_flip=True, horizontal_flip=False),
            "alternating_flip is a kind of horizontal_flip, which is false",
        ),
        (
            lambda: DataArguments("digits", crop_padding_mode="reflect"),
            "crop_padding_mode reflect goes with train_crop pad, not resized",
        ),
        (
            lambda: DataArguments("digits", crop_padding=-1),
            "crop_padding must be a number of pixels",
        ),
        (lambda: DataArguments("digits", test_fraction=1.0), "test_fraction must be between 0 and 1"),
        (
            lambda: DataArguments("digits", split_seed=-1),
            "split_seed must be a whole number from 0 to 2³² - 1",
        ),
        (lambda: DataArguments("digits", ood="{broken"), "ood is not JSON such as"),
        (lambda: DataArguments("digits", label_noise=1.0), "label_noise must be at least 0 and below 1, not 1.0"),
        (lambda: DataArguments("digits", validation_fraction=-0.1), "validation_fraction must be at least 0"),
        (lambda: DataArguments("digits", test_split="train"), "test_split must not be train"),
        (lambda: DataArguments("digits", crop_scale=0.0), "crop_scale must be above 0 and at most 1, not 0.0"),
        (
            lambda: DataArguments("digits", erasing_probability=0.5),
            "erasing_probability needs augmentation randaugment, not",
        ),
        (
            lambda: DataArguments("digits", augmentation="randaugment_levels", erasing_probability=0.5),
            "erasing_probability needs augmentation randaugment, not randaugment_levels",
        ),
        (
            lambda: DataArguments("digits", augmentation="crop_flip", randaugment_magnitude=5),
            "randaugment_magnitude needs augmentation randaugment or randaugment_levels, not crop_flip",
        ),
        (
            lambda: DataArguments("digits", augmentation="randaugment", randaugment_magnitude=11),
            "randaugment_magnitude must be between 0 and 10, not 11",
        ),
        (lambda: open_dataset("digit"), "no data set 'digit': did you mean 'digits'?"),
        (lambda: open_dataset("./nowhere"), "there is no such file or folder"),
        (lambda: as_labelled(make([0], Value("int64")).select([])), "the data set is empty"),
        (lambda: as_labelled(make([0], Value("int64")), Columns(label="lable")), "did you mean 'label'?"),
        (
            lambda: as_labelled(make([0], Value("int64")), Columns(image="label")),
            "does not hold images",
        ),
        (lambda: as_labelled(make([0.5], Value("float32"))), "would be regression"),
        (lambda: as_labelled(make([0, None], Value("int64"))), "has no class in row 1"),
        (lambda: as_labelled(make([0, -1], ClassLabel(names=["a"]))), "class -1 in row 1"),
        (lambda: load_splits(DataArguments("photo_patches"), 0), "has no split 'train', only test"),
    ],
)
def test_what_cannot_be_used_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no images, no sound, no Parquet and no CSV files"):
        open_dataset(str(tmp_path))


def test_without_a_network_a_hub_data_set_is_one_line(no_network):
    with pytest.raises(ConnectionError, match=r"no connection to the Hub .* data set 'org/images'"):
        open_dataset("org/images")
