"""A run pushed by the command line comes back from the Hub by its id, with the same figures."""

import json
import os
import subprocess
import sys

from hub_server import WRITER

HFMIX = [sys.executable, "-m", "hfmix"]


def test_push_then_evaluate_from_the_hub(hub, finished_run, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    home = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": WRITER}
    env = {**inherited, **home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def hfmix(*arguments):
        return subprocess.run([*HFMIX, *arguments], env=env, capture_output=True, text=True, timeout=120)

    pushed = hfmix("push", str(finished_run), "--repo-id", "me/digits")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip() == f"{hub.endpoint}/me/digits"
    options = ["--dataset", "digits", "--max_samples", "60", "--axes", "clean", "calibration"]
    options += ["--validation", "digits"]
    measured = hfmix("evaluate", "me/digits", *options, "--out", str(tmp_path / "out"))
    assert measured.returncode == 0, measured.stderr
    ours, theirs = (
        json.loads((folder / "robustness.json").read_text())["axes"] for folder in (tmp_path / "out", finished_run)
    )
    assert ours["clean"] == theirs["clean"] and ours["calibration"] == theirs["calibration"]
    missing = hfmix("evaluate", "me/nothing", *options)
    assert missing.returncode == 1
    assert missing.stderr.splitlines()[-1].startswith("hfmix: error: the Hub has no model 'me/nothing'")
    assert WRITER not in pushed.stdout + pushed.stderr + measured.stdout + measured.stderr
