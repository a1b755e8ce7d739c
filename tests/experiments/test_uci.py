"""mixup's experiment on tables, on the real ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from project import ROOT

from hfmix.data.arguments import DataArguments
from hfmix.data.splits import load_splits
from hfmix.models.processors.table import TableProcessor
from hfmix.train import main

UCI = ROOT / "recipes/uci"


@pytest.fixture
def in_data(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the recipes find their files."""
    (tmp_path / "data").symlink_to(shared_data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(name: str, **settings: object) -> DataArguments:
    recipe = yaml.safe_load((UCI / f"{name}_erm.yaml").read_text())
    return DataArguments(train_file=recipe["train_file"], test_file=recipe.get("test_file"), **settings)


@pytest.mark.parametrize(
    ("name", "features", "classes", "rows"),
    [
        ("abalone", 10, 28, (3341, 836)),  # seven numbers, and the sex as one of three
        pytest.param("arcene", 10_000, 2, (100, 100), marks=pytest.mark.slow),
        ("arrhythmia", 279, 13, (361, 91)),
        pytest.param("htru2", 8, 2, (14_318, 3_580), marks=pytest.mark.slow),
        pytest.param("phishing", 30, 2, (8_844, 2_211), marks=pytest.mark.slow),
    ],
)
def test_a_recipe_trains_on_the_real_table(in_data, name, features, classes, rows, capfd):
    options = ["--max_steps", "30", "--save_strategy", "no", "--output_dir", "run"]
    assert main([str(UCI / f"{name}_mixup.yaml"), *options]) == 0
    config = json.loads(Path("run/config.json").read_text())
    report = json.loads(Path("run/robustness.json").read_text())
    assert config["model_args"]["in_chans"] == features and len(config["id2label"]) == classes
    results = json.loads(Path("run/train_results.json").read_text())
    assert (results["num_train_samples"], report["data"]["num_samples"]) == rows
    said = "cells of the train set are missing" in capfd.readouterr().err
    assert said is (name == "arrhythmia")
    losses = [entry["train_loss"] for entry in results["log_history"] if "train_loss" in entry]
    assert 0 < losses[-1] < np.log(classes) + 1


def test_classes_of_one_row_are_known_wherever_it_falls(in_data):
    """Five of abalone's 28 classes have one shell; with five split seeds some fall into the test part alone."""
    alone = 0
    for seed in range(5):
        splits = load_splits(of("abalone", split_seed=seed), seed=0)
        train, test = splits["train"], splits["test"]
        assert len(train.class_names) == 28 and train.class_names == test.class_names
        assert not set(train.rows) & set(test.rows) and len(train) + len(test) == 4177
        alone += len(set(test.labels) - set(train.labels))
    assert alone > 0


def test_the_split_follows_its_own_seed_alone(in_data):
    first, again, other = (
        load_splits(of("arrhythmia", split_seed=split_seed), seed=seed)["test"].rows.tolist()
        for split_seed, seed in ((0, 0), (0, 1), (1, 0))
    )
    assert first == again and first != other


def test_missing_cells_become_the_median_of_the_training_part(in_data):
    splits = load_splits(of("arrhythmia"), seed=0)
    processor = TableProcessor.fit(splits["train"])
    cells = splits["train"].cells
    numbers = cells.numbers[splits["train"].rows]
    column = cells.numeric.index("J")
    assert np.isnan(numbers[:, column]).sum() == 300
    row = int(np.flatnonzero(np.isnan(cells.numbers[splits["test"].rows, column]))[0])
    features = processor([splits["test"].example(row)])["input_features"][0]
    assert np.isfinite(features).all()
    known = numbers[:, column][~np.isnan(numbers[:, column])].astype(np.float64)
    filled = np.where(np.isnan(numbers[:, column]), np.median(known), numbers[:, column].astype(np.float64))
    expected = (np.median(known) - filled.mean()) / filled.std()
    assert features[sorted(cells.numeric).index("J")] == pytest.approx(expected, rel=1e-5)


def test_methods_of_one_table_differ_in_the_mixing_alone():
    for path in UCI.glob("*_erm.yaml"):
        recipes = [
            yaml.safe_load((UCI / f"{path.stem[:-3]}{method}.yaml").read_text()) for method in ("erm", "mixup")
        ]
        erm, mixup = ({k: v for k, v in r.items() if "mix" not in k and k != "output_dir"} for r in recipes)
        assert erm == mixup
        assert [r["mix"] for r in recipes] == ["erm", "mixup"] and recipes[1]["mix_alpha"] == 1
