"""What MixTrainer and the training script push: whole commits, and in the end what `hfmix push` would send."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_server import WRITER, Answer, Fault
from pushing import environment

from hfmix import MixTrainingArguments
from hfmix.hub.checks import files_to_send

ROOT = Path(__file__).parent.parent.parent
RECIPE = str(ROOT / "recipes/digits/regmixup.yaml")
QUICK = ["--max_train_samples", "96", "--max_test_samples", "60", "--max_steps", "4", "--eval_strategy", "no"]
WHOLE = {"README.md", "config.json", "model.safetensors"}

# Trains a tiny net that is pushed as the arguments on standard input say, and prints what push_to_hub returns.
TRAINER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tiny import tiny_trainer
folder, arguments = json.load(sys.stdin)
trainer = tiny_trainer(folder, push_to_hub=True, save_strategy="steps", save_steps=2, **arguments)
trainer.train()
print(json.dumps(trainer.push_to_hub(tags="tiny", dataset="pictures")))
"""


def test_a_run_of_the_script_ends_as_a_push_of_it(hub, tmp_path):
    run = tmp_path / "digits"
    env = environment(hub, tmp_path / "home", HF_TOKEN=WRITER)
    options = ["--output_dir", str(run), "--save_strategy", "steps", "--save_steps", "2"]
    pushing = ["--push_to_hub", "true", "--hub_model_id", "me/digits", "--hub_always_push", "true"]
    hfmix = [sys.executable, "-m", "hfmix"]
    done = subprocess.run(
        [*hfmix, "train", RECIPE, *QUICK, *options, *pushing], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.endpoint}/me/digits" in done.stderr
    _, *training, last = hub.repos["me/digits"].commits
    assert [commit.message for commit in training] == [f"Training in progress, step {step}" for step in (2, 4)]
    for commit in training:
        assert set(commit.files) == {*WHOLE, ".gitattributes"}  # timm's processor is in config.json
        card = commit.files["README.md"].decode()
        assert "not measured yet" in card and "More information needed" not in card
        assert yaml.safe_load(card.split("---")[1])["library_name"] == "timm"
        assert "timm_model" not in commit.files["model.safetensors"][:2000].decode(errors="replace")
    expected = {name: (run / name).read_bytes() for name in files_to_send(run)}
    assert {name: data for name, data in last.files.items() if name != ".gitattributes"} == expected
    assert WRITER not in done.stdout + done.stderr
    assert not [name for name, data in expected.items() if WRITER.encode() in data]

    again = subprocess.run(
        [*hfmix, "push", str(run), "--repo-id", "me/digits"], env=env, capture_output=True, text=True, timeout=120
    )
    assert again.stdout.strip() == f"{hub.endpoint}/me/digits", again.stderr
    assert hub.repos["me/digits"].commits[-1] is last  # there was nothing left to send


@pytest.mark.parametrize("strategy", ["end", "every_save"])
def test_a_trainer_of_ones_own_pushes_whole_models(hub, tmp_path, strategy):
    # a push that fails for good beside the training does not stop it
    hub.faults.append(Fault("POST", "/commit/", Answer(403, {"error": "not today"})))
    arguments = {"hub_strategy": strategy, "hub_model_id": "own", "hub_always_push": True, "ema_decay": 0.9}
    arguments |= {"eval_strategy": "steps", "eval_steps": 2, "mix": "mixup"}
    if strategy == "end":
        hub.faults[0].times = 0
    done = subprocess.run(
        [sys.executable, "-c", TRAINER, str(ROOT / "tests")],
        input=json.dumps([str(tmp_path / "out"), arguments]),
        env=environment(hub, tmp_path / "home", HF_TOKEN=WRITER),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == f"{hub.endpoint}/me/own"
    _, *commits = hub.repos["me/own"].commits
    steps = [f"Training in progress, step {step}" for step in (4, 6)] if strategy == "every_save" else []
    assert [commit.message for commit in commits] == [*steps, "End of training"]
    assert ("may not write to me" in done.stderr) == (strategy == "every_save")
    for commit in commits:
        assert set(commit.files) == {*WHOLE, ".gitattributes"}
    card = commits[-1].files["README.md"].decode()
    assert "step 6 of 6" in card and "`loss` " in card and "not measured yet" in card
    assert yaml.safe_load(card.split("---")[1])["tags"] == ["hfmix", "mixup", "tiny"]


@pytest.mark.parametrize("strategy", ["checkpoint", "all_checkpoints"])
def test_checkpoints_are_not_published(tmp_path, strategy):
    with pytest.raises(ValueError, match=f"hub_strategy {strategy} would publish the optimizer's state"):
        MixTrainingArguments(str(tmp_path), push_to_hub=True, hub_strategy=strategy)
