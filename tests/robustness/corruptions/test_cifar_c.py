"""Corrupted sets are written and read in CIFAR-10-C's layout, and measured as those corrupted on the fly."""

import numpy as np
import pytest
import torch
from pictures import NAMES, pictures
from PIL import Image

from hfmix import corrupt, evaluate_robustness, load_backbone
from hfmix.data.splits import as_labelled
from hfmix.robustness.corruptions.cifar_c import CifarC, save_cifar_c

TWO = ["gaussian_noise", "contrast"]


def test_the_layout_is_the_published_one(tmp_path):
    """(5 N, 32, 32, 3) uint8, N rows a severity; labels five times over; each image by its own index."""
    data = as_labelled(pictures(12))
    save_cifar_c(data, tmp_path, TWO, seed=3)
    noise, labels = (
        np.load(tmp_path / f"{name}.npy", allow_pickle=False) for name in ("gaussian_noise", "labels")
    )
    assert (
        noise.shape == (60, 32, 32, 3) and noise.dtype == np.uint8 and labels.tolist() == data.labels.tolist() * 5
    )
    image = np.asarray(data.example(7))
    for severity in (1, 5):
        expected = corrupt(image, "gaussian_noise", severity, seed=3, first_index=7)
        np.testing.assert_array_equal(noise[(severity - 1) * 12 + 7], expected)
    assert {path.name for path in tmp_path.iterdir()} == {"gaussian_noise.npy", "contrast.npy", "labels.npy"}


def test_what_is_read_is_measured_as_what_is_made(tmp_path):
    torch.manual_seed(0)
    backbone = load_backbone("test_vit", NAMES, pretrained=False, image_size=32)
    save_cifar_c(as_labelled(pictures()), tmp_path, TWO)
    given = {"axes": ["corruptions"], "progress": False, "batch_size": 8}
    made = evaluate_robustness(*backbone, pictures(), corruptions=TWO, **given).axes["corruptions"]
    read = evaluate_robustness(*backbone, pictures(), corrupted=tmp_path, **given).axes["corruptions"]
    assert read["accuracy"] == made["accuracy"] and set(read["accuracy"]) == set(TWO)
    assert read["applied"] == f"before the processor, read from {tmp_path.name}"
    some = evaluate_robustness(*backbone, pictures(), corrupted=tmp_path, corruption_samples=7, **given)
    assert some.axes["corruptions"]["mean_accuracy"]["n"] == 7


def test_a_folder_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"labels\.npy is missing"):
        CifarC(tmp_path)
    save_cifar_c(as_labelled(pictures(6)), tmp_path, TWO)
    stored = CifarC(tmp_path)
    with pytest.raises(ValueError, match=r"fog\.npy is missing: .* holds contrast, gaussian_noise"):
        stored.images("fog", 1, np.arange(2))
    with pytest.raises(ValueError, match="does not hold the labels of the test set"):
        stored.check_labels(as_labelled(pictures(6, seed=8), name="test"))
    np.save(tmp_path / "fog.npy", np.zeros((30, 2)))
    with pytest.raises(ValueError, match=r"not uint8 \(30, H, W, 3\)"):
        stored.images("fog", 1, np.arange(2))
    np.save(tmp_path / "labels.npy", np.zeros(7))
    with pytest.raises(ValueError, match="holds 7 labels"):
        CifarC(tmp_path)


def test_images_of_two_sizes_are_refused(tmp_path, image_folder):
    from hfmix.data.sources.open import open_dataset

    Image.new("RGB", (9, 9)).save(image_folder / "red" / "z.png")
    with pytest.raises(ValueError, match="all images must have one size"):
        save_cifar_c(as_labelled(open_dataset(str(image_folder))["train"]), tmp_path / "out", TWO)
    assert not (tmp_path / "out" / "gaussian_noise.npy").exists()
