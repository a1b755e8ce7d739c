"""The README's code and commands: each example runs as printed, except that model and Hub are local."""

import re
import subprocess
import sys

import pytest
import torch
from hub_server import WRITER, HubServer
from project import ROOT
from pushing import environment
from tiny import Pictures, tiny_model
from transformers import TrainingArguments

import hfmix
from hfmix import load_backbone
from hfmix.models.loading import save_backbone

README = (ROOT / "README.md").read_text(encoding="utf-8")


TRAINER, PLAIN, TIMM, STOCK, GAN = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def test_the_twelve_lines_train_measure_and_push(tmp_path, image_folder):
    save_backbone(
        *load_backbone("test_resnet", ["a", "b"], pretrained=False, image_size=32), tmp_path / "backbone"
    )
    (tmp_path / "my_images").symlink_to(image_folder)
    code = TRAINER.replace("timm/resnet18.a1_in1k", "./backbone").replace("num_train_epochs=10", "max_steps=2")
    with HubServer() as hub:
        env = environment(hub.endpoint, tmp_path / "home", HF_TOKEN=WRITER)
        command = [sys.executable, "-c", code.replace("org/name", "me/name")]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        files = hub.repos["me/name"].commits[-1].files
    assert {"README.md", "config.json", "model.safetensors"} <= files.keys()
    assert (tmp_path / "runs/mine/robustness.json").exists()


@pytest.mark.parametrize("code", [PLAIN, TIMM], ids=["plain PyTorch", "timm-style"])
def test_the_loops_learn(code):
    """Ten classes that a linear net can tell apart: after 40 passes it does."""
    torch.manual_seed(0)
    centres, labels = torch.randn(10, 3, 8, 8), torch.arange(10).repeat(7)
    images = centres[labels] + 0.1 * torch.randn(70, 3, 8, 8)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = list(zip(images.split(9), labels.split(9), strict=True)) * 40
    exec(code, {"model": model, "optimizer": optimizer, "loader": loader})
    assert (model(images).argmax(1) == labels).float().mean() > 0.95


def test_the_stock_trainer_trains_and_evaluates(tmp_path):
    args = TrainingArguments(str(tmp_path), max_steps=4, eval_strategy="steps", eval_steps=2, report_to="none")
    names = {"model": tiny_model(), "args": args, "train": Pictures(), "test": Pictures()}
    exec(STOCK, names)
    assert [entry["step"] for entry in names["trainer"].state.log_history if "eval_loss" in entry] == [2, 4]


def test_a_discriminator_learns_from_mixtures():
    """Real points above the line, generated ones below it, told apart after 200 steps."""
    torch.manual_seed(0)
    real, generated = torch.randn(2, 64, 2).abs()
    names = {
        "hfmix": hfmix,
        "discriminator": torch.nn.Linear(2, 1),
        "real": real,
        "generated": -generated.requires_grad_(),
    }
    optimizer = torch.optim.Adam(names["discriminator"].parameters(), lr=0.05)
    for _ in range(200):
        exec(GAN, names)
        optimizer.zero_grad()
        names["loss"].backward()
        optimizer.step()
    assert (names["discriminator"](real) > 0).all() and (names["discriminator"](-generated) < 0).all()
    assert generated.grad is None


def test_the_commands_are_those_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for command in ("quickstart", "test", "lint", "help"):
        assert command in targets and f"make {command}" in README
    ci = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^make (.*)$", ci, flags=re.M) == ["lint", "quickstart", "test"]


PAGES = sorted(
    path
    for folder in (".", "recipes", "experiments/results", "model_cards", "model_cards/*")
    for path in ROOT.glob(f"{folder}/*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_table_is_one(page):
    """A row that no header stands above is shown as plain text, and one with other columns loses some."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        header, rule, *rows = table.splitlines()
        assert re.fullmatch(r"[|: -]+", rule), header
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {len(re.findall(r"(?<!\\)\|", header))}, (
            header
        )
