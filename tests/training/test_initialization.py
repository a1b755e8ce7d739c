"""First weights from the training data: once, without augmentation, and not in a run that goes on."""

import subprocess
import sys

import pytest
import torch
from project import DIE_AT_THE_FIRST_CHECKPOINT, ROOT
from safetensors.torch import load_file
from torch.nn import functional as F

from hfmix import load_backbone
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.streamed import StreamedData
from hfmix.data.splits import load_splits
from hfmix.train import main
from hfmix.training import initialization
from hfmix.training.initialization import initialize_from_data

SMALL = '{"widths": [4, 6, 8]}'


@pytest.fixture(scope="module")
def digits():
    return load_splits(DataArguments("digits", max_train_samples=96), seed=0)["train"]


def net_for(digits, name="airbench_cifar"):
    return load_backbone(name, digits.class_names, pretrained=False)


def test_the_net_is_given_the_training_images_as_the_model_sees_them(digits, monkeypatch):
    """All of them, or as many as the budget allows, the same ones each time."""
    model, processor = net_for(digits)
    inputs = processor(images=[digits.example(i) for i in range(96)], return_tensors="pt")["pixel_values"]
    assert initialize_from_data(model, digits, processor) == 96
    out = F.conv2d(inputs.double(), model.timm_model.whiten.weight[:12].double()).transpose(0, 1).flatten(1)
    squares = out.pow(2).mean(1)
    assert squares[0] == pytest.approx(1, abs=1e-3) and (squares <= 1 + 1e-6).all()
    monkeypatch.setattr(initialization, "_NUM_VALUES", 40 * inputs[0].numel())
    fewer = []
    for _ in range(2):
        model, processor = net_for(digits)
        assert initialize_from_data(model, digits, processor) == 40
        fewer.append(model.timm_model.whiten.weight)
    assert torch.equal(*fewer)


def test_other_nets_and_streams(digits):
    model, processor = net_for(digits, "resnet20_cifar")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert initialize_from_data(model, digits, processor) == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model, processor = net_for(digits)
    stream = StreamedData.__new__(StreamedData)
    with pytest.raises(ValueError, match="Airbench takes its first weights from examples of"):
        initialize_from_data(model, stream, processor)


def quick(*more):
    argv = [str(ROOT / "recipes/cifar10/regmixup_airbench.yaml"), "--dataset_name", "digits", "--ood", "{}"]
    argv += ["--max_train_samples", "96", "--max_test_samples", "30", "--max_steps", "13", "--axes", "clean"]
    argv += ["--per_device_train_batch_size", "16", "--learning_rate", "0.02", "--model_args", SMALL]
    argv += ["--save_strategy", "steps", "--save_steps", "7", "--bf16", "false", *map(str, more)]
    return argv


def test_a_killed_run_is_resumed_and_ends_as_an_undisturbed_one(tmp_path, monkeypatch, capsys):
    """Bit for bit: airbench's recipe, killed in the second epoch, between two updates of Lookahead."""
    killed, straight, tuned = (tmp_path / name for name in ("killed", "straight", "tuned"))
    script = [sys.executable, "-c", DIE_AT_THE_FIRST_CHECKPOINT]
    death = subprocess.run([*script, *quick("--output_dir", killed)], capture_output=True, timeout=120)
    assert death.returncode == -9 and (killed / "checkpoint-7" / "lookahead.safetensors").is_file()
    assert main(quick("--output_dir", straight)) == 0
    weights = load_file(straight / "model.safetensors")
    assert not (weights["whiten.bias"] == 0).any() and torch.equal(
        weights["whiten.weight"][:12], -weights["whiten.weight"][12:]
    )
    calls = []
    monkeypatch.setattr("hfmix.train.initialize_from_data", lambda *arguments: calls.append(arguments))
    assert main(quick("--output_dir", killed, "--resume_from_checkpoint", "true")) == 0
    assert (killed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    finetune = ["--model_name_or_path", straight, "--pretrained", "true", "--model_args", "{}", "--max_steps", "1"]
    monkeypatch.setattr("hfmix.train.cpu_multiplies_bf16", lambda: False)
    assert main(quick("--output_dir", tuned, *finetune, "--bf16", "true")) == 0
    assert not calls
    assert "bf16: this CPU has no instructions for it" in capsys.readouterr().err
