"""Data sets that come with a dependency, so that hfmix can be tried without a network."""

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as PILImage
from sklearn.datasets import load_digits, load_iris, load_sample_images
from sklearn.model_selection import train_test_split

_SIDE = 8
_CELL = 32


def digits() -> DatasetDict:
    """Loads scikit-learn's 1,797 handwritten digits, 8×8 in grey, in a stratified random 60/10/30 split.

    They are from the UCI data set "Optical Recognition of Handwritten Digits". It does not identify the writers,
    so one writer can be in several splits.
    """
    data = load_digits()
    images, labels = np.round(data.images * (255 / 16)).astype(np.uint8), data.target
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.3, stratify=labels, random_state=0)
    train, validation = train_test_split(rest, test_size=1 / 7, stratify=labels[rest], random_state=0)
    names = [str(name) for name in data.target_names]
    splits = {"train": train, "validation": validation, "test": test}
    return DatasetDict({split: _dataset(images[rows], labels[rows], names) for split, rows in splits.items()})


def photo_patches() -> DatasetDict:
    """Cuts scikit-learn's two sample photographs into 520 patches like the digits: 8×8 in grey.

    The patches are adjacent squares of 32 pixels, each averaged down to 8×8: out-of-distribution input for the
    digits that neither colour nor resolution gives away.
    """
    patches, labels = [], []
    names = ["china", "flower"]
    for label, photo in enumerate(load_sample_images().images):
        grey = PILImage.fromarray(photo).convert("L")
        for top in range(0, grey.height - _CELL + 1, _CELL):
            for left in range(0, grey.width - _CELL + 1, _CELL):
                cell = grey.crop((left, top, left + _CELL, top + _CELL))
                patches.append(np.asarray(cell.resize((_SIDE, _SIDE), PILImage.Resampling.BOX)))
                labels.append(label)
    return DatasetDict({"test": _dataset(np.stack(patches), np.array(labels), names)})


def iris() -> DatasetDict:
    """Loads Fisher's 150 irises of three species, with four lengths in centimetres each; without a test set.

    The values are those of Fisher's article; the copy at UCI differs from it in two rows.
    """
    data = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names]
    label = ClassLabel(names=[str(name) for name in data.target_names])
    features = Features({**{name: Value("float32") for name in names}, "label": label})
    rows = {name: data.data[:, i].tolist() for i, name in enumerate(names)}
    return DatasetDict({"train": Dataset.from_dict({**rows, "label": data.target.tolist()}, features=features)})


EMBEDDED = {"digits": digits, "photo_patches": photo_patches, "iris": iris}


def _dataset(images: np.ndarray, labels: np.ndarray, names: list[str]) -> Dataset:
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    rows = {"image": [PILImage.fromarray(image) for image in images], "label": labels.tolist()}
    return Dataset.from_dict(rows, features=features)
