"""What MixTrainer and the training script push: whole commits, and in the end what `hfmix push` would send."""

import json
import subprocess
import sys

import pytest
import yaml
from hub_server import WRITER, Answer, Fault
from project import ROOT
from pushing import environment

from hfmix import MixTrainingArguments
from hfmix.hub.upload.run_checks import files_to_send

RECIPE = str(ROOT / "recipes/digits/regmixup.yaml")
QUICK = ["--max_train_samples", "96", "--max_test_samples", "60", "--max_steps", "4", "--eval_strategy", "no"]
WHOLE = {"README.md", "config.json", "model.safetensors"}

# Trains tiny nets that are pushed as the arguments on standard input say, and prints what push_to_hub returns.
TRAINERS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tiny import tiny_trainer
for i, arguments in enumerate(json.load(sys.stdin)):
    arguments |= {"push_to_hub": True, "save_strategy": "steps", "save_steps": 2}
    trainer = tiny_trainer(f"{sys.argv[2]}/{i}", **arguments)
    trainer.train()
    print(json.dumps(trainer.push_to_hub(tags="tiny", dataset="pictures")))
"""


@pytest.mark.slow
def test_a_run_of_the_script_ends_as_a_push_of_it(hub, tmp_path):
    run = tmp_path / "digits"
    env = environment(hub.endpoint, tmp_path / "home", HF_TOKEN=WRITER)
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


def test_trainers_of_ones_own_push_whole_models(hub, tmp_path):
    # a push that fails for good beside the training does not stop it
    hub.faults.append(Fault("POST", "/me/every_save/commit/", Answer(403, {"error": "not today"})))
    common = {"eval_strategy": "steps", "eval_steps": 2, "mix": "mixup", "ema_decay": 0.9, "hub_always_push": True}
    asked = [{**common, "hub_strategy": name, "hub_model_id": name} for name in ("end", "every_save")]
    done = subprocess.run(
        [sys.executable, "-c", TRAINERS, str(ROOT / "tests" / "helpers"), str(tmp_path)],
        input=json.dumps(asked),
        env=environment(hub.endpoint, tmp_path / "home", HF_TOKEN=WRITER),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    urls = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]
    assert urls == [f"{hub.endpoint}/me/end", f"{hub.endpoint}/me/every_save"]
    assert "cannot push to me/every_save: the token may not write to me" in done.stderr
    messages = {name: [commit.message for commit in repo.commits[1:]] for name, repo in hub.repos.items()}
    in_training = [f"Training in progress, step {step}" for step in (4, 6)]
    assert messages == {"me/end": ["End of training"], "me/every_save": [*in_training, "End of training"]}
    commits = [commit for repo in hub.repos.values() for commit in repo.commits[1:]]
    assert all(set(commit.files) == {*WHOLE, ".gitattributes"} for commit in commits)
    for repo in hub.repos.values():
        card = repo.commits[-1].files["README.md"].decode()
        assert "step 6 of 6" in card and "`loss` " in card and "not measured yet" in card
        assert yaml.safe_load(card.split("---")[1])["tags"] == ["hfmix", "mixup", "tiny"]
    # the weights are the average, which the model has taken over when the last push begins
    earlier, before_end, last = (
        commit.files["model.safetensors"] for commit in hub.repos["me/every_save"].commits[1:]
    )
    assert before_end == last != earlier


@pytest.mark.parametrize("strategy", ["checkpoint", "all_checkpoints"])
def test_checkpoints_are_not_published(tmp_path, strategy):
    with pytest.raises(ValueError, match=f"hub_strategy {strategy} would publish the optimizer's state"):
        MixTrainingArguments(str(tmp_path), push_to_hub=True, hub_strategy=strategy)
