"""The recipes on real CIFAR-10, where the machine has it."""

import json

import numpy as np
from project import ROOT

from hfmix.data.arguments import DataArguments
from hfmix.data.splits import load_splits
from hfmix.run_folder import is_finished
from hfmix.train import main


def test_cifar10_is_read_as_it_is(shared_data):
    """Channel means of the whole set are .4914, .4822, .4465; 2,000 images give them within .01."""
    arguments = DataArguments(train_file=[str(shared_data / "cifar10/test.parquet")])
    images = load_splits(arguments, seed=0)["test"]
    assert images.class_names[:3] == ["airplane", "automobile", "bird"]
    assert np.bincount(images.labels).tolist() == [200] * 10
    pixels = np.stack([np.asarray(images.example(i)) for i in range(len(images))])
    assert pixels.shape == (2000, 32, 32, 3)
    assert np.abs(pixels.mean((0, 1, 2)) / 255 - [0.4914, 0.4822, 0.4465]).max() < 0.01


def test_the_cifar10_recipe_runs(shared_data, tmp_path):
    data = ["--train_file", str(shared_data / "cifar10/test.parquet"), "--max_train_samples", "128"]
    size = ["--max_steps", "2", "--per_device_train_batch_size", "32", "--max_test_samples", "64"]
    run = tmp_path / "run"
    options = [*data, *size, "--ood", f'{{"cifar100": "{shared_data}/ood_cifar100/test.parquet"}}']
    options += ["--output_dir", str(run), "--dataloader_num_workers", "0", "--corruption_samples", "16"]
    assert main([str(ROOT / "recipes/cifar10/regmixup_resnet20.yaml"), *options]) == 0
    assert is_finished(run)
    assert json.loads((run / "config.json").read_text())["label_names"][-1] == "truck"
    axes = json.loads((run / "robustness.json").read_text())["axes"]
    assert axes["ood"]["cifar100"]["n_ood"] == 2000 and axes["corruptions"]["mean_accuracy"]["n"] == 16
    card = (run / "README.md").read_text()
    assert "import hfmix.models  # registers resnet20_cifar with timm" in card
