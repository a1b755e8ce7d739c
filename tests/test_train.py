"""The training script: recipes, refusals, and what it leaves behind."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage
from project import DIE_AT_THE_FIRST_CHECKPOINT, QUICK, ROOT

from hfmix import RegMixup, load_backbone, load_pretrained, policy_from_dict
from hfmix.data.arguments import DataArguments
from hfmix.data.augment.image import ToPixels
from hfmix.data.splits import load_splits
from hfmix.recipe import parse
from hfmix.run_folder import is_finished
from hfmix.train import main
from hfmix.utils.errors import UsageError

RECIPE = str(ROOT / "recipes/digits/regmixup.yaml")


def test_the_command_line_wins_over_the_recipe(tmp_path):
    options = ["--mix_alpha", "3", "--learning_rate=1e-4", "--horizontal_flip", "--output_dir", str(tmp_path)]
    recipe = parse([RECIPE, *options])
    assert recipe.training.policy().alpha == 3 and recipe.training.learning_rate == 1e-4
    assert recipe.data.horizontal_flip is True and recipe.data.ood == {"photographs": "photo_patches"}
    assert recipe.model.image_size == 32 and recipe.run.overwrite is False and recipe.resume is False
    assert recipe.resolved["mix_alpha"] == 3.0 and recipe.resolved["num_train_epochs"] == 15


def test_a_resolved_recipe_gives_itself_again(tmp_path):
    options = ["--overwrite", "--hub_token", "hf_secret", "--debug", "underflow_overflow"]
    resolved = parse([RECIPE, *options]).resolved
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(resolved))
    assert parse([str(tmp_path / "recipe.yaml")]).resolved == resolved
    assert "hf_secret" not in str(resolved) and "overwrite" not in resolved


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ("mix: regmixp", [], "unknown policy 'regmixp': did you mean 'regmixup'?"),
        ("mix_alpha: 0", [], "regmixup: alpha is a finite number above 0, not 0"),
        ("mix_alpha: -1", [], "regmixup: alpha is a finite number above 0, not -1"),
        ("mix_alhpa: 1", [], "unknown key mix_alhpa: did you mean mix_alpha?"),
        ("learning_rate: fast", [], "learning-rate: invalid float value: 'fast'"),
        ("train_crop: diagonal", [], "invalid choice: 'diagonal'"),
        ("horizontal_flip: perhaps", [], "horizontal-flip: Truthy value expected: got perhaps"),
        ("{broken", [], "is not YAML"),
        ("just words", [], "is not a recipe"),
        ("", ["--mix_alhpa", "1"], "unknown option --mix_alhpa: did you mean mix_alpha?"),
        ("", ["--epochs=3"], "unknown option --epochs"),
        ("model_name_or_path:", [], "no model"),
        ("output_dir:", [], "no output_dir"),
        ("image_size: -3", [], "image_size is a whole number from 1, not -3"),
        ("corruption_samples: 0", [], "corruption_samples is a whole number from 1, not 0"),
        ("pairs: 0", [], "pairs is a whole number from 1, not 0"),
        ("overwrite: true", ["--resume_from_checkpoint", "true"], "contradict each other"),
        ("dataset_name:", [], "no data"),
        ("mix: none", [], "unknown policy 'none': training without mixing is called 'erm'"),
        ("mix: off", [], "the recipe's mix is false, which is how YAML reads yes, no, on and off"),
        ("label_column_name: yes", [], "the recipe's label_column_name is true, which is how YAML reads"),
        ("augmentation: no", [], "write the word in quotes, one of none, crop_flip, randaugment"),
        ("feature_column_names: [a, on]", [], "the recipe's feature_column_names is"),
        ("class_weights: balance", [], 'class_weights is "balanced", a mapping such as {"cat": 2.0}'),
        ("class_weights: {cat: -1}", [], "class_weights are finite and not negative, not -1 for 'cat'"),
        (
            "sampler: balanced",
            ["--streaming", "--max_steps", "2"],
            "sampler balanced needs all labels, which",
        ),
        ("unfreeze_at_epoch: 1", [], "unfreeze_at_epoch goes with freeze_backbone"),
        ("per_device_train_batch_size: 0", [], "per_device_train_batch_size is a whole number from 1, not 0"),
    ],
)
def test_a_wrong_recipe_is_one_line_and_status_2(tmp_path, lines, options, message, one_line):
    base = {"model_name_or_path": "test_resnet", "dataset_name": "digits", "output_dir": str(tmp_path / "run")}
    try:
        changed = yaml.safe_load(lines) or {}
        text = yaml.safe_dump({**base, **changed}) if isinstance(changed, dict) else lines
    except yaml.YAMLError:
        text = lines
    (tmp_path / "recipe.yaml").write_text(text)
    assert main([str(tmp_path / "recipe.yaml"), *options]) == 2
    assert message in one_line()
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_not_there(one_line):
    assert main(["nowhere.yaml"]) == 2
    assert one_line() == "cannot read the recipe 'nowhere.yaml': No such file or directory"


def run_with(tmp_path: Path, *options: str) -> int:
    return main([RECIPE, *QUICK, "--eval_strategy", "no", "--output_dir", str(tmp_path / "run"), *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model_name_or_path", "test_resnot"], "unknown model 'test_resnot': did you mean 'test_resnet"),
        (["--dataset_name", "digit"], "no data set 'digit': did you mean 'digits'?"),
        (["--dataset_name", "./nowhere"], "no data set './nowhere'"),
        (["--train_file", "nowhere.parquet"], "no file 'nowhere.parquet'"),
        (["--label_column_name", "lable"], "has no column 'lable', only image and label: did you mean 'label'?"),
        (["--ood", '{"a": "./nowhere"}'], "no data set './nowhere'"),
        (["--model_args", '{"num_classes": 7}'], "model_args sets num_classes, and the net gets one"),
        (["--model_args", '{"in_chans": 1}'], "model_args sets in_chans to 1, but the net gets images"),
        (["--class_weights", "1", "2"], "class_weights has 2 weights: the 10 classes are 0, 1, 2, 3"),
        (["--class_weights", '{"ten": 2}'], "class_weights has a weight for 'ten', which is no class: the 10"),
        (["--eval_strategy", "epoch", "--test_split", "validation"], "set validation_fraction 0.1"),
        (["--early_stopping_patience", "2", "--test_split", "validation"], "early_stopping_patience evaluates"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(tmp_path, options, message, one_line):
    assert run_with(tmp_path, *options) == 1
    assert message in one_line()
    assert not is_finished(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--pos_weight", "2"],
            "pos_weight weighs the positives of a binary cross-entropy, and the loss is cross",
        ),
        (["--dataloader_drop_last", "true", "--per_device_train_batch_size", "128"], "drops the only batch"),
        (
            ["--eval_strategy", "epoch", "--metric_for_best_model", "acuracy"],
            "metric_for_best_model is 'acuracy', and evaluation measures loss, accuracy",
        ),
    ],
)
def test_what_the_trainer_refuses_spares_the_run_that_is_there(finished_run, tmp_path, options, message, one_line):
    shutil.copytree(finished_run, tmp_path / "run")
    assert run_with(tmp_path, "--overwrite", *options) == 1
    assert message in one_line() and is_finished(tmp_path / "run")


def test_a_missing_model_is_found_before_data_are_loaded(tmp_path, no_network, one_line, monkeypatch):
    monkeypatch.setattr("hfmix.train.inspect_data", lambda *_, **__: pytest.fail("the data were loaded"))
    for name, pretrained in (("org/model", "true"), ("test_resnot", "false"), ("mlp_table", "true")):
        assert run_with(tmp_path, "--model_name_or_path", name, "--pretrained", pretrained) == 1
        assert name in one_line()


def test_no_without_quotes_is_a_word_where_there_is_one(tmp_path):
    lines = [f"base: {RECIPE}", "eval_strategy: no", "save_strategy: no", "pretrained: no"]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))
    recipe = parse([str(tmp_path / "recipe.yaml")])
    assert (recipe.training.eval_strategy, recipe.training.save_strategy) == ("no", "no")
    assert recipe.model.pretrained is False and recipe.resolved["eval_strategy"] == "no"


def test_weights_and_balanced_draws_are_recorded(tmp_path):
    """By the labels that are trained on: after the noise, of the sample, without what is held out."""
    images = [PILImage.new("L", (8, 8), 20 * (i % 10)) for i in range(200)]
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b", "c", "d"])})
    rows = {"image": images, "label": [min(i % 10, 3) for i in range(200)]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    run = tmp_path / "run"
    options = ["--label_noise", "0.4", "--test_fraction", "0.3", "--class_weights", "balanced", "--axes", "clean"]
    options += ["--sampler", "balanced", "--freeze_backbone", "--loss_kind", "focal", "--output_dir", str(run)]
    options += ["--train_file", str(tmp_path / "train.parquet"), "--eval_strategy", "no", "--ood", "{}"]
    assert main([RECIPE, *QUICK, *options]) == 0
    labels = load_splits(parse([RECIPE, *QUICK, *options]).data, 0)["train"].labels
    written = json.loads((run / "train_results.json").read_text())["weights"]["class_weights"]
    assert list(written) == ["a", "b", "c", "d"] and len(labels) == 96
    assert list(written.values()) == pytest.approx([96 / (4 * (labels == c).sum()) for c in range(4)])
    again = yaml.safe_load((run / "recipe.yaml").read_text())
    assert again["class_weights"] == "balanced" and again["sampler"] == "balanced"


def test_an_empty_data_set(tmp_path, one_line):
    empty = Dataset.from_dict(
        {"image": [], "label": []}, features=Features({"image": Image(), "label": Value("int64")})
    )
    empty.to_parquet(tmp_path / "train.parquet")
    assert run_with(tmp_path, "--train_file", str(tmp_path / "train.parquet")) == 1
    assert one_line() == f"no rows in {tmp_path}/train.parquet"


def test_a_broken_image_stops_the_run_and_is_named(tmp_path, image_folder, capfd):
    broken = sorted(image_folder.rglob("*.png"))[5]
    broken.write_bytes(b"not an image")
    assert run_with(tmp_path, "--dataset_name", str(image_folder), "--max_steps", "2", "--ood", "{}") == 1
    printed = capfd.readouterr().err
    assert f"train row 5 ({broken}) is not an image that can be read" in printed
    assert "hfmix: error: 1 image cannot be used" in printed.splitlines()[-1]
    assert not is_finished(tmp_path / "run") and not (tmp_path / "run" / "config.json").exists()


def test_without_a_network_a_hub_model_is_one_line(tmp_path, no_network, one_line):
    assert run_with(tmp_path, "--model_name_or_path", "org/model", "--pretrained", "true") == 1
    assert "no connection to the Hub" in one_line()


def test_a_finished_run_is_kept(finished_run, one_line, capfd):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    assert main([RECIPE, "--output_dir", str(finished_run)]) == 1
    assert "holds a finished run" in one_line()
    assert main([RECIPE, "--output_dir", str(finished_run), "--resume_from_checkpoint", "true"]) == 0
    assert "finished already" in capfd.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_is_resumed_and_ends_as_an_undisturbed_one(tmp_path, workers):
    """Bit for bit: RegMixup with BatchNorm, random crops and flips, killed in the middle of the second epoch."""
    options = [RECIPE, "--max_train_samples", "96", "--max_test_samples", "30", "--max_steps", "7", "--ood", "{}"]
    options += ["--eval_strategy", "no", "--save_strategy", "steps", "--save_steps", "4", "--axes", "clean"]
    options += ["--horizontal_flip", "true", "--dataloader_num_workers", str(workers)]
    killed_run, straight_run = (["--output_dir", str(tmp_path / name)] for name in ("killed", "straight"))
    script = [sys.executable, "-c", DIE_AT_THE_FIRST_CHECKPOINT]
    killed = subprocess.run([*script, *options, *killed_run], capture_output=True, timeout=120)
    assert killed.returncode == -9 and (tmp_path / "killed" / "checkpoint-4").is_dir()
    assert not is_finished(tmp_path / "killed")
    assert main([*options, *killed_run]) == 1  # neither resume nor overwrite
    assert main([*options, *killed_run, "--resume_from_checkpoint", "true"]) == 0
    assert main([*options, *straight_run]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("killed", "straight")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "killed").glob("checkpoint-*"))


def test_a_run_in_16_bits_is_measured_as_it_will_be_loaded(tmp_path):
    run = tmp_path / "run"
    halved = ["--bf16", "true", "--use_cpu", "true", "--channels_last", "true"]
    assert main([RECIPE, *QUICK, *halved, "--axes", "clean", "--output_dir", str(run)]) == 0
    model, processor, report = load_pretrained(run)
    digits = load_splits(DataArguments("digits", max_test_samples=60), 0)["test"]
    images = [digits.example(i) for i in range(60)]
    with torch.inference_mode():
        logits = model(**processor(images, return_tensors="pt")).logits
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(digits.labels)).item()
    assert report.axes["clean"]["nll"]["value"] == pytest.approx(expected, rel=1e-5)  # bf16 keeps three digits


def test_a_run_measures_as_much_as_it_is_told(tmp_path):
    run = tmp_path / "run"
    much = ["--corruption_samples", "3", "--attack_samples", "5", "--pairs", "7", "--max_steps", "2"]
    axes = ["--axes", "corruptions", "adversarial", "interpolation"]
    assert main([RECIPE, *QUICK, *much, *axes, "--output_dir", str(run)]) == 0
    _, _, report = load_pretrained(run)
    assert report.axes["corruptions"]["mean_accuracy"]["n"] == 3
    assert report.axes["adversarial"]["num_samples"] == 5
    assert report.axes["interpolation"]["num_pairs"] == 7


def test_a_finished_run_is_complete_and_holds_no_pickle(finished_run):
    files = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "config.json",
        "environment.json",
        "figures/corruptions.png",
        "figures/ood.png",
        "figures/reliability.png",
        "figures/risk_coverage.png",
        "figures/roc.png",
        "model.safetensors",
        "predictions.safetensors",
        "recipe.yaml",
        "report.html",
        "robustness.csv",
        "robustness.json",
        "train_results.json",
    }
    results = json.loads((finished_run / "train_results.json").read_text())
    assert policy_from_dict(results["policy"]) == RegMixup(alpha=20.0)
    environment = json.loads((finished_run / "environment.json").read_text())
    assert environment["seed"] == 0 and environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert yaml.safe_load((finished_run / "recipe.yaml").read_text())["mix_alpha"] == 20


@pytest.mark.parametrize("crop", ["none", "pad", "resized"])
def test_the_transform_travels_to_workers_and_keeps_the_whole_crop(crop):
    """A random crop has the input's size; the processor's own resize and crop would cut its border off."""
    _, processor = load_backbone("resnet18", ["a", "b"], pretrained=False)  # resizes to 235, then crops 224
    arguments = DataArguments("digits", train_crop=crop, crop_padding=0, horizontal_flip=False)
    transform = pickle.loads(pickle.dumps(ToPixels(processor, arguments)))
    picture = PILImage.new("RGB", (224, 224))
    picture.putpixel((0, 0), (255, 255, 255))
    corner = transform(picture)["pixel_values"][:, 0, 0]
    assert transform(picture)["pixel_values"].shape == (3, 224, 224)
    black = ToPixels(processor)(PILImage.new("RGB", (224, 224)))["pixel_values"][:, 0, 0]
    if crop == "pad":
        assert (corner - black).min() > 4  # white, normalised
    if crop == "none":
        torch.testing.assert_close(
            transform(picture)["pixel_values"], ToPixels(processor)(picture)["pixel_values"]
        )


def test_a_failing_evaluation_says_where_the_weights_are(tmp_path, image_folder, one_line):
    import hfmix.train as script

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "evaluate_robustness", lambda *_, **__: 1 / 0)
        assert run_with(tmp_path, "--ood", "{}") == 1
    stage = tmp_path / "run" / ".unfinished"
    assert f"the weights are in {stage}" in one_line()
    assert (stage / "model.safetensors").is_file() and not is_finished(tmp_path / "run")


def test_overwriting_spares_the_old_run_until_the_new_one_starts(finished_run, tmp_path, one_line):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    assert run_with(tmp_path, "--overwrite", "--dataset_name", "./typo") == 1
    assert "./typo" in one_line() and is_finished(run)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for words in ("--mix_alpha", "--dataset_name", "--overwrite", "hfmix train recipes/digits/regmixup.yaml"):
        assert words in text


def test_a_usage_error_is_a_value_error():
    with pytest.raises(UsageError, match="no model"):
        parse(["--dataset_name", "digits", "--output_dir", "x"])
