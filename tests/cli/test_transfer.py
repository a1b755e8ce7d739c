"""`hfmix transfer` as a user types it, in one process and in two."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hfmix.cli import main
from hfmix.data.sources.open import open_dataset
from hfmix.data.splits import as_labelled
from hfmix.hub.download.load import load_pretrained
from hfmix.robustness.presentation.transfer import transfer_table
from hfmix.robustness.transfer import transfer_matrix

DIGITS = [str(digit) for digit in range(10)]
FEW = ["--dataset", "digits", "--max_samples", "24", "--batch_size", "8", "--steps", "3", "--eps", "4/255"]


def small_model(folder, seed: int, names=DIGITS, size: int = 8, mean: float = 0.5) -> str:
    """A tiny vision transformer with random weights, saved with its processor."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widths = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = ViTConfig(**widths, image_size=size, patch_size=4, id2label=dict(enumerate(names)))
        ViTForImageClassification(config).save_pretrained(folder)
    side = {"height": size, "width": size}
    ViTImageProcessor(size=side, image_mean=[mean] * 3).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [small_model(folder / "one", 1), small_model(folder / "two", 2, mean=0.3)]


def test_prints_and_writes_what_the_function_finds(models, tmp_path, capsys):
    assert main(["transfer", *models, *FEW, "--out", str(tmp_path / "out"), "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    loaded = {name: load_pretrained(path)[:2] for name, path in zip(("one", "two"), models, strict=True)}
    data = as_labelled(open_dataset("digits")["test"], name="test").sample(24, 3)
    expected = transfer_matrix(loaded, data, eps="4/255", steps=3, seed=3, batch_size=8, progress=False)
    found = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert found == expected
    assert found["attack"]["eps"] == 4 / 255 and found["accuracy"]["one"]["two"]["n"] == 24
    table = (tmp_path / "out" / "transfer.md").read_text()
    assert table == transfer_table(found) and printed.startswith(table)
    with Image.open(tmp_path / "out" / "transfer.png") as drawn:
        assert drawn.width > 500
    assert not (tmp_path / "out" / ".pieces").exists()


def test_models_of_the_same_name_go_by_their_path(models, tmp_path, capsys):
    other = small_model(tmp_path / "one", 5)
    assert main(["transfer", models[0], other, *FEW, "--attack", "fgsm", "--norm", "l2", "--eps", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Accuracy in % under FGSM, L2 ≤ 0.5,")
    assert f"| {models[0]} | {other} |" in printed


def test_what_does_not_fit_is_one_line(models, tmp_path, one_line):
    wide, foreign = small_model(tmp_path / "wide", 0, size=16), small_model(tmp_path / "foreign", 0, DIGITS[::-1])
    cases = [
        ([models[0]], [], "two models or more, not of 1"),
        ([models[0], models[0]], [], "is given twice"),
        ([models[0], wide], [], "one takes inputs of 3 × 8 × 8, wide of 3 × 16 × 16"),
        ([models[0], foreign], [], "one and foreign have different classes"),
        (models, ["--eps", "2"], "beyond the whole range"),
        ([models[0], str(tmp_path / "none" / "there")], [], "no folder"),
    ]
    for given, options, message in cases:
        assert main(["transfer", *given, *FEW, *options]) == 1
        assert message in one_line()
    assert main(["transfer", *models, *FEW, "--eps", "8/0"]) == 2
    assert "eps '8/0' is not a number" in one_line()
    assert main(["transfer", *models, *FEW, "--attack", "cw"]) == 2
    assert "invalid choice: 'cw'" in one_line()


@pytest.mark.slow
def test_two_processes_find_the_same(models, tmp_path):
    done = {}
    for processes in ("1", "2"):
        command = [sys.executable, "-m", "hfmix", "transfer", *models, *FEW, "--num_processes", processes]
        out = tmp_path / processes
        launched = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=200)
        assert launched.returncode == 0, launched.stderr
        assert launched.stdout.count("made on ↓") == 1
        done[processes] = json.loads((out / "transfer.json").read_text())
    assert done["1"] == done["2"]
