"""`hfmix inspect`, and what training says of its data."""

import json

import pytest
import yaml
from project import QUICK, ROOT

from hfmix.cli import main
from hfmix.train import main as train


def test_a_source_is_shown_without_training(image_folder, capsys):
    assert main(["inspect", str(image_folder), "--test-fraction", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert (
        "data: images, 2 classes: blue, red" in shown and "3 of each class" in shown and "pixels: 20×16" in shown
    )


def test_a_bad_file_gives_status_one(image_folder, capsys):
    (image_folder / "red" / "0.png").write_bytes(b"")
    assert main(["inspect", str(image_folder)]) == 1
    shown = capsys.readouterr()
    assert "0.png) is not an image that can be read: it is empty" in shown.out
    assert "hfmix: error: 1 image cannot be used" in shown.err
    assert main(["inspect", str(image_folder), "--skip_unreadable"]) == 0


def test_a_recipes_data_and_a_table_are_inspected(tmp_path, capsys):
    assert main(["inspect", str(ROOT / "recipes/digits/mixup.yaml"), "--validation_fraction", "0"]) == 0
    assert "10 classes: 0, 1, 2" in capsys.readouterr().out
    table = tmp_path / "table.csv"
    table.write_text("a,b,label\n" + "1,2,x\n2,1,y\n" * 10)
    assert main(["inspect", str(table), "--label_column_name", "label"]) == 0
    assert "tables, 2 classes: x, y" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["digits", "--epochs", "3"], "unknown option --epochs"),
        (["digit"], "did you mean 'digits'?"),
        (["digits", "--split_seed", "-1"], "split_seed must be"),
    ],
)
def test_wrong_options_are_one_line(argv, message, capsys):
    assert main(["inspect", *argv]) in (1, 2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("hfmix: error:") and message in error


def test_training_says_what_it_read_and_keeps_it(image_folder, tmp_path, capsys):
    """Unreadable images stop it before the first step, or are left out by name, on the card too."""
    (image_folder / "red" / "0.png").write_bytes(b"<html>")
    recipe = tmp_path / "recipe.yaml"
    base = yaml.safe_load((ROOT / "recipes/digits/mixup.yaml").read_text())
    content = {key: value for key, value in base.items() if key not in ("base", "ood")}
    content |= {"model_name_or_path": "resnet20_cifar", "pretrained": False, "dataset_name": str(image_folder)}
    recipe.write_text(yaml.safe_dump({**content, "test_fraction": 0.34, "axes": ["clean"]}))
    run = tmp_path / "run"
    argv = [str(recipe), *QUICK, "--output_dir", str(run), "--eval_strategy", "no", "--ood", "{}"]
    assert train(argv) == 1
    assert "1 image cannot be used" in capsys.readouterr().err and not (run / "README.md").exists()
    assert train([*argv, "--skip_unreadable", "true"]) == 0
    shown = capsys.readouterr().err
    assert "data: images, 2 classes: blue, red" in shown and "0.png) is not an image" in shown
    data = json.loads((run / "environment.json").read_text())["data"]
    assert data["unreadable"] == 1 and data["num_classes"] == 2
    card = (run / "README.md").read_text()
    assert "left out: 1 that could not be read" in card
    assert main(["verify", str(run)]) == 0
