"""Calls of hfmix and huggingface_hub in processes of their own, which meet the Hub that HF_ENDPOINT names."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub_server import HubServer

# Makes the calls that come as JSON on standard input, and prints what each gives or raises as a line of JSON.
# What an error would print, with all that caused it, goes to standard error: no token may be there either.
CALLS = """
import json, sys, traceback
from hfmix.hub.upload.publish import push_to_hub
assert "huggingface_hub" not in sys.modules, "importing hfmix.hub.upload.publish must be cheap"
from huggingface_hub import model_info, snapshot_download
def sha(**arguments):
    return model_info(**arguments).sha
for name, arguments in json.load(sys.stdin):
    try:
        outcome = globals()[name](**arguments)
    except Exception as error:
        traceback.print_exc()
        outcome = [type(error).__name__, str(error)]
    print(json.dumps(outcome), flush=True)
"""


@dataclass
class Outcome:
    results: list
    printed: str

    @property
    def errors(self) -> list[str]:
        """The messages, after checking that each is one line, from a push that was refused."""
        for kind, message in self.results:
            assert kind == "PushError", message
            assert "\n" not in message
        return [message for _, message in self.results]


def push(run: Path, repo_id: str = "me/digits", patience: float = 0, **options) -> tuple[str, dict]:
    """A call that pushes, by default without a second try."""
    return "push_to_hub", {"run": run, "repo_id": repo_id, "patience": patience, **options}


def environment(endpoint: str, home: Path, **env: str) -> dict[str, str]:
    """Of a process whose Hub is there, and who uploads by LFS unless `env` says otherwise."""
    ours = {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    # hf_xet begins its own retries after three seconds
    return inherited | ours | {"HF_ENDPOINT": endpoint, "HF_XET_CLIENT_RETRY_BASE_DELAY": "50ms"} | env


def calls_to(hub: HubServer, home: Path) -> Callable[..., Outcome]:
    """A function that makes calls in one new process whose Hub is `hub`, or what its keywords say instead."""

    def make(*calls: tuple[str, dict], **env: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-c", CALLS],
            input=json.dumps(calls, default=str),
            env=environment(hub.endpoint, home, **env),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(results) == len(calls), done.stdout
        return Outcome(results, done.stdout + done.stderr)

    return make
