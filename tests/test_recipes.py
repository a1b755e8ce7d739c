"""Every recipe: it parses, says what its name says, and takes two steps; accelerate reads its configs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from clips import clips
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PILImage
from project import ROOT

import hfmix.models  # noqa: F401  registers the papers' nets with timm
from hfmix.mixing import policy_names
from hfmix.recipe import parse
from hfmix.train import main

RECIPES = ROOT / "recipes"
ALL = sorted(p for p in RECIPES.rglob("*.yaml") if p.parent.name not in ("base", "accelerate"))
OWN_DATA = ["--dataset_name", "digits"]
HEAVY = ("airbench96", "wrn28_10", "resnet50", "vit", "dinov2", "alternatives")
OF_SOUND = ("fsdd", "eight_words", "speech_commands", "ast")
GIVEN_BY_USER = ("finetune", "fsdd", "eight_words")  # recipes that are given data on the command line


def name(path: Path) -> str:
    return path.relative_to(RECIPES).as_posix()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_it_parses_and_resolves_to_itself(path, tmp_path):
    recipe = parse(
        [str(path)]
        if "finetune" not in path.name and path.parent.name not in GIVEN_BY_USER
        else [str(path), *OWN_DATA]
    )
    written = yaml.safe_load(path.read_text())
    assert recipe.resolved["mix"] == written["mix"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.resolved))
    assert parse([str(tmp_path / "recipe.yaml")]).resolved == recipe.resolved
    expected = "runs/" + name(path).removesuffix(".yaml")
    assert recipe.training.output_dir == expected
    method = next((method for method in sorted(policy_names(), key=len) if path.stem.startswith(method)), None)
    if path.stem.startswith("manifold"):
        method = "manifold_mixup"
    if method:
        assert recipe.training.mix == method
        net = path.stem.removeprefix(method).removeprefix("_").removesuffix("dropout")
        assert net in recipe.model.model_name_or_path


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
@pytest.mark.parametrize("net", ["preact_resnet18", "wrn28_10", "resnet50_cifar"])
def test_methods_of_one_net_differ_in_the_mixing_alone(data, net):
    methods = ("erm", "mixup", "cutmix", "manifold_mixup", "regmixup")
    recipes = [parse([str(RECIPES / data / f"{method}_{net}.yaml")]).resolved for method in methods]
    rest = [{k: v for k, v in recipe.items() if k != "output_dir" and "mix" not in k} for recipe in recipes]
    assert all(other == rest[0] for other in rest)
    assert recipes[-1]["mix_alpha"] == (20 if data == "cifar10" else 10)
    # mixup's code: 200 epochs without Nesterov; RegMixup's: 350 with
    mixups = net == "preact_resnet18"
    assert rest[0]["lr_drop_epochs"] == ([100, 150] if mixups else [150, 250])
    assert rest[0]["num_train_epochs"] == (200 if mixups else 350)
    assert rest[0]["weight_decay"] == (1e-4 if mixups else 5e-4)
    assert ("nesterov=true" in rest[0]["optim_args"]) is not mixups
    assert (rest[0]["learning_rate"], rest[0]["per_device_train_batch_size"]) == (0.1, 128)


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
@pytest.mark.parametrize("net", ["airbench", "airbench96"])
def test_airbench_s_training_is_the_source_s_for_a_mean_instead_of_a_sum(data, net):
    """The source's SGD on a sum over 1,024 images and hfmix's on the mean take the same steps."""
    short = ("erm", "mixup", "regmixup", "label_smoothing")
    methods = short if net == "airbench96" else (*short, "cutmix", "quarter_regmixup", "manifold_mixup")
    parsed = {method: parse([str(RECIPES / data / f"{method}_{net}.yaml")]) for method in methods}
    apart = ("output_dir", "label_smoothing_factor")
    rest = [
        {k: v for k, v in recipe.resolved.items() if k not in apart and "mix" not in k}
        for recipe in parsed.values()
    ]
    assert all(other == rest[0] for other in rest)
    smoothing = {method: recipe.training.label_smoothing_factor for method, recipe in parsed.items()}
    assert smoothing == {method: 0.2 * (method == "label_smoothing") for method in methods}
    rate, decay, epochs = (11.5, 0.0153, 16) if net == "airbench" else (9.0, 0.012, 37)
    scale = 1024 * (1 + 1 / (1 - 0.85))
    # as in legacy/airbench94.py
    lr, weight_decay, lr_biases = rate / scale, decay * 1024 / scale, 64 * rate / scale
    args = parsed["erm"].training
    biases, whiten = (args.param_factors[name] for name in (r"norms\.\d+\.bias", r"whiten\.bias"))
    assert args.learning_rate == pytest.approx(lr * 1024, rel=1e-5)
    assert args.learning_rate * args.weight_decay == pytest.approx(weight_decay, rel=1e-5)
    assert args.learning_rate * biases["lr"] == pytest.approx(lr_biases * 1024, rel=1e-5)
    biases_decay = biases["lr"] * biases["weight_decay"] * args.learning_rate * args.weight_decay
    assert biases_decay == pytest.approx(weight_decay, rel=1e-5)
    assert whiten == {"weight_decay": 1, "until_epoch": 3}
    assert (args.num_train_epochs, args.per_device_train_batch_size) == (epochs, 1024)


def test_methods_against_wrong_labels_differ_in_mixing_and_dropout_alone():
    """mixup's table of corrupted labels: one training and one set of wrong labels for all."""
    methods = ("erm", "dropout", "mixup", "mixup_dropout", "regmixup")
    recipes = {name: parse([str(RECIPES / "memorization" / f"{name}.yaml")]) for name in methods}
    rest = [
        {k: v for k, v in recipe.resolved.items() if k not in ("output_dir", "model_args") and "mix" not in k}
        for recipe in recipes.values()
    ]
    assert all(other == rest[0] for other in rest)
    assert (rest[0]["label_noise"], rest[0]["test_every_epoch"], rest[0]["num_train_epochs"]) == (0.5, True, 200)
    dropped = {name: (recipe.model.model_args or {}).get("proj_drop_rate") for name, recipe in recipes.items()}
    assert dropped == {"erm": None, "dropout": 0.8, "mixup": None, "mixup_dropout": 0.3, "regmixup": None}
    noisier = parse([str(RECIPES / "memorization" / "mixup.yaml"), "--label_noise", "0.8"])
    assert noisier.data.label_noise == 0.8 and noisier.training.policy().alpha == 32


def sound_files(folder: Path) -> list[str]:
    """Options for a Parquet file of six clips of noise, of half a second and of two."""
    rng = np.random.default_rng(0)
    file = str(folder / "clips.parquet")
    clips([rng.normal(0, 0.1, length) for length in (8_000, 32_000) * 3], [0, 1, 1] * 2).to_parquet(file)
    return ["--train_file", file, "--test_file", file]


def files(folder: Path, data: str) -> list[str]:
    """Options for a file of twelve examples: a table, or noise in the columns that the set has on the Hub."""
    if data == "uci":
        file = folder / "rows.csv"
        file.write_text(
            "length,width,class\n" + "".join(f"{i % 3 + i / 50},{i % 5},c{i % 3}\n" for i in range(12))
        )
        return ["--train_file", str(file), "--test_file", str(file)]
    image, label = {"cifar10": ("img", "label"), "cifar100": ("img", "fine_label")}.get(data, ("image", "label"))
    columns = {image: Image(), label: ClassLabel(names=["ant", "bee", "cat"])}
    rng = np.random.default_rng(0)
    pictures = [PILImage.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(12)]
    rows = {image: pictures, label: [0, 1, 2] * 4}
    if data == "cifar100":
        columns["coarse_label"] = ClassLabel(names=["animal"])
        rows["coarse_label"] = [0] * 12
    file = str(folder / "rows.parquet")
    Dataset.from_dict(rows, features=Features(columns)).to_parquet(file)
    test = "--validation_file" if data == "imagenet" else "--test_file"
    return ["--train_file", file, test, file]


def untrained(name: str, folder: Path) -> str:
    """A folder with a tiny checkpoint of that kind, for the Hub's."""
    from transformers import (
        ASTConfig,
        ASTFeatureExtractor,
        ASTForAudioClassification,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForSequenceClassification,
    )

    if name == "facebook/dinov2-small":
        return untrained_dinov2(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    if "ast" in name:
        ASTForAudioClassification(ASTConfig(**size, max_length=64, num_labels=3)).save_pretrained(folder)
        ASTFeatureExtractor(max_length=64).save_pretrained(folder)
    else:
        convolutions = {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
        Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**size, **convolutions)).save_pretrained(folder)
        Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def untrained_dinov2(folder: Path) -> str:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2ForImageClassification

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "num_labels": 3}
    Dinov2ForImageClassification(Dinov2Config(**size)).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, marks=[pytest.mark.slow] if any(net in name(path) for net in HEAVY) else [], id=name(path)
        )
        for path in ALL
        if path.parent.name != "digits"  # the quickstart's, which train in other tests
    ],
)
def test_it_takes_two_steps(path, tmp_path, monkeypatch):
    net = parse([str(path), *OWN_DATA]).model.model_name_or_path
    options = ["--max_steps", "2", "--per_device_train_batch_size", "4", "--dataloader_num_workers", "0"]
    options += ["--learning_rate", "1e-3"]  # the papers' .1 is for batches of 128
    options += ["--pretrained", "false", "--ood", "{}", "--output_dir", str(tmp_path / "run")]
    if net in ("facebook/dinov2-small", "facebook/wav2vec2-base", "MIT/ast-finetuned-audioset-10-10-0.4593"):
        options += ["--model_name_or_path", untrained(net, tmp_path / "net"), "--pretrained", "true"]
    elif not timm.is_model(net.removeprefix("timm/").partition(".")[0]):
        pytest.skip(f"{net} is not registered with timm")
    seen = []
    monkeypatch.setattr("hfmix.train.finish", lambda recipe, trainer, *_: seen.append(trainer))
    of_sound = any(word in name(path) for word in OF_SOUND)
    data = sound_files(tmp_path) if of_sound else files(tmp_path, path.parent.name)
    assert main([str(path), *data, *options]) == 0
    (trainer,) = seen
    losses = [entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry]
    assert trainer.state.global_step == 2 and 0 < losses[-1] < 20
    assert trainer.policy.name == yaml.safe_load(path.read_text())["mix"]


@pytest.mark.parametrize("path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_config(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= config.num_machines >= 1
    kind = {"fsdp": "FSDP", "deepspeed": "DEEPSPEED", "one_gpu": "NO"}.get(path.stem, "MULTI_GPU")
    assert config.distributed_type == kind and config.num_machines == (2 if path.stem == "multi_node" else 1)
    assert bool(config.fsdp_config) is (kind == "FSDP")
    assert bool(config.deepspeed_config) is (kind == "DEEPSPEED")


def test_the_config_for_a_cpu_starts_two_processes(tmp_path):
    (tmp_path / "count.py").write_text(
        "from accelerate import PartialState\n"
        "state = PartialState(cpu=True)\n"
        f"open({str(tmp_path)!r} + f'/{{state.process_index}}', 'w').write(str(state.num_processes))\n"
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port=0"]
    command += ["--config_file", str(RECIPES / "accelerate/cpu_two_processes.yaml"), str(tmp_path / "count.py")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    launched = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert launched.returncode == 0, launched.stderr
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == ["2", "2"]
