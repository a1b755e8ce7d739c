"""A run pushed by the command line comes back from the Hub by its id, with the same figures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_process import HubProcess
from hub_server import WRITER, XetFile
from PIL import Image
from safetensors.torch import load_file, save_file

from hfmix import RobustnessReport, load_pretrained
from hfmix.hub.card.model_card import write_card

PICTURE = Image.linear_gradient("L").resize((8, 8)).convert("RGB")
LOADING = """
import torch
from PIL import Image
import hfmix
picture = Image.linear_gradient("L").resize((8, 8)).convert("RGB")
def logits(name):
    model, processor, _ = hfmix.load_pretrained(name)
    with torch.no_grad():
        return model.eval()(**processor(images=picture, return_tensors="pt")).logits[0].tolist()
"""


# Runs the command lines that come as JSON on standard input, and prints their statuses last.
COMMANDS = """
import json, sys
from hfmix.cli import main
print([main(words) for words in json.load(sys.stdin)])
"""


def test_push_then_evaluate_from_the_hub(hub, finished_run, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": WRITER}
    env = {**inherited, **home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def python(*arguments, **given):
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, **given)

    pushed = python("-m", "hfmix", "push", str(finished_run), "--repo-id", "me/digits")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip() == f"{hub.endpoint}/me/digits"
    options = ["--dataset", "digits", "--max_samples", "60", "--axes", "clean", "calibration"]
    options += ["--validation", "digits"]
    there = ["evaluate", "me/digits", *options, "--out", str(tmp_path / "out")]
    missing = ["evaluate", "me/nothing", *options]
    measured = python("-c", COMMANDS, input=json.dumps([there, missing]))
    assert measured.stdout.splitlines()[-1:] == ["[0, 1]"], measured.stderr
    ours, theirs = (
        json.loads((folder / "robustness.json").read_text())["axes"] for folder in (tmp_path / "out", finished_run)
    )
    assert ours["clean"] == theirs["clean"] and ours["calibration"] == theirs["calibration"]
    assert measured.stderr.splitlines()[-1].startswith("hfmix: error: the Hub has no model 'me/nothing'")
    assert WRITER not in pushed.stdout + pushed.stderr + measured.stdout + measured.stderr


def test_what_is_loaded_from_the_hub_gives_the_logits_of_what_was_pushed(hub, finished_run, tmp_path):
    """By push_to_hub and load_pretrained, in a new process; the branch v2 holds the same net turned around."""
    machine = HubProcess(hub.endpoint, tmp_path / "home")
    turned = Path(shutil.copytree(finished_run, tmp_path / "turned"))
    weights = load_file(turned / "model.safetensors")
    (head,) = (name for name in weights if weights[name].ndim == 2)
    weights[head] = -weights[head]
    save_file(weights, turned / "model.safetensors", metadata={"format": "pt"})
    pushed, _, loaded, branch, names = machine.evaluate(
        LOADING,
        f"hfmix.push_to_hub({str(finished_run)!r}, 'me/digits')",
        f"hfmix.push_to_hub({str(turned)!r}, 'me/digits', revision='v2')",
        "logits('me/digits')",
        "logits('me/digits@v2')",
        "[hfmix.load_pretrained('me/digits')[0].name_or_path, hfmix.load_pretrained('me/digits')[2].axes]",
    )
    assert pushed == f"{hub.endpoint}/me/digits"
    report = RobustnessReport.load(finished_run)
    assert names == ["me/digits", report.axes]
    for found, run in ((loaded, finished_run), (branch, turned)):
        model, processor, _ = load_pretrained(run)
        with torch.no_grad():
            ours = model.eval()(**processor(images=PICTURE, return_tensors="pt")).logits[0].tolist()
        assert found == ours
    assert loaded != branch
    assert not [request for request in hub.requests if request.endswith((".png", ".html"))]  # not needed to load


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("by_xet", [False, True], ids=["by LFS", "by Xet"])
def test_train_push_pull_verify(hub, finished_run, tmp_path, by_xet):
    """By the command line, each in a new process; a forged run is pushed too, and fails."""
    machine, out = HubProcess(hub.endpoint, tmp_path / "home", by_xet), tmp_path / "pulled"
    assert machine.hfmix("push", str(finished_run), "--repo-id", "me/digits").returncode == 0
    pulled = machine.hfmix("pull", "me/digits", "--out", str(out))
    assert pulled.returncode == 0, pulled.stderr
    assert isinstance(hub.repos["me/digits"].commits[-1].files["model.safetensors"], XetFile) == by_xet
    assert pulled.stdout.strip() == str(out)
    ours, theirs = (
        {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
        for run in (out, finished_run)
    )
    assert ours == theirs
    for name, env in ((str(out), {}), ("me/digits", {}), ("me/digits", {"HF_HUB_OFFLINE": "1"})):
        verified = machine.hfmix("verify", name, **env)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert " 0 failed, 0 not checked" in verified.stdout

    # and now a forger's: report, table and card agree, and are not true
    report = json.loads((out / "robustness.json").read_text())
    accuracy = report["axes"]["clean"]["accuracy"]
    accuracy |= {"value": 0.9, "ci95": [0.8, 0.96]}
    (out / "robustness.json").write_text(json.dumps(report, indent=1))
    RobustnessReport.load(out).save(out)
    write_card(out, "digits")
    assert machine.hfmix("push", str(out), "--repo-id", "me/digits", "--revision", "forged").returncode == 0
    forged = machine.hfmix("verify", "me/digits@forged")
    assert forged.returncode == 1
    assert forged.stderr.splitlines()[-1].startswith("hfmix: error: 1 of ")
    assert "first clean/accuracy: off by" in forged.stderr
