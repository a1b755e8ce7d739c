"""A local Hub and a finished run to push to it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hub_server import HubServer
from pushing import Outcome, calls_to
from safetensors.torch import save_file

CARD = """---
library_name: timm
pipeline_tag: image-classification
tags:
- hfmix
model-index:
- name: digits-regmixup
  results:
  - task:
      type: image-classification
    dataset:
      type: digits
      name: digits
    metrics:
    - type: accuracy
      value: 0.97
---

# digits-regmixup

Trained with RegMixup.
"""

STRAY_FILES = (
    "checkpoint-10/optimizer.pt",
    "checkpoint-10/model.safetensors",
    "checkpoint-10/README.md",
    "figures/.DS_Store",
    "figures/logits.pkl",
    "figures/old/reliability.png",
    "notes.txt",
    "pytorch_model.bin",
    "training_args.bin",
)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def calls(hub: HubServer, tmp_path: Path) -> Callable[..., Outcome]:
    """Runs calls in one new process whose Hub is `hub`, or what its keywords say instead."""
    return calls_to(hub, tmp_path / "hf_home")


@pytest.fixture
def run_files() -> dict[str, bytes]:
    """What the run of `run` should leave on the Hub, by path; the weights are not among them."""
    as_json = {
        "baseline.json": {"name": "erm"},
        "config.json": {"architecture": "resnet18", "num_classes": 10},
        "environment.json": {"seed": 0},
        "preprocessor_config.json": {"image_mean": [0.5]},
        "robustness.json": {
            "schema_version": 1,
            "axes": {"clean": {"accuracy": {"value": 0.97, "ci95": [0.95, 0.98], "n": 360}}},
        },
        "train_results.json": {"epoch": 1.0},
    }
    return {
        ".eval_results/me_digits.yaml": b"- dataset: {id: me/digits, task_id: digits}\n  value: 0.97\n",
        "README.md": CARD.encode(),
        "figures/reliability.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "figures/corruptions.svg": b"<svg/>",
        "recipe.yaml": b"policy: regmixup\nalpha: 20.0\n",
        **{name: json.dumps(content).encode() for name, content in as_json.items()},
    }


@pytest.fixture
def run(tmp_path: Path, run_files: dict[str, bytes]) -> Path:
    """A finished run with small real files, among files that do not belong to it."""
    folder = tmp_path / "regmixup"
    for name, content in {**run_files, **dict.fromkeys(STRAY_FILES, b"not for the Hub")}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    weight = torch.arange(640, dtype=torch.float32).reshape(10, 64)
    save_file({"fc.weight": weight}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
