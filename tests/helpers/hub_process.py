"""Python in a new process that uses the tests' Hub: huggingface_hub reads HF_ENDPOINT when it is imported."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_server import WRITER
from pushing import environment

# Evaluates each line of standard input, and prints what it gives or raises as a line of JSON.
LOOP = """
import json, sys, traceback
for line in sys.stdin:
    try:
        outcome = eval(json.loads(line))
    except Exception as error:
        traceback.print_exc()
        outcome = [type(error).__name__, str(error)]
    print("outcome:" + json.dumps(outcome, default=str), flush=True)
"""


@dataclass(frozen=True)
class HubProcess:
    """A machine of its own: `home` is its cache.

    Attributes:
        endpoint: of the Hub.
        home: the folder of the client's cache.
        by_xet: large files come and go by Xet, not by LFS.
    """

    endpoint: str
    home: Path
    by_xet: bool = False

    def environment(self, **env: str) -> dict[str, str]:
        """Of a process there."""
        xet = {"HF_HUB_DISABLE_XET": "0" if self.by_xet else "1"}
        return environment(self.endpoint, self.home, HF_TOKEN=WRITER, **{**xet, **env})

    def evaluate(self, setup: str, *expressions: str, **env: str) -> list[Any]:
        """What each expression gives, or ``[error, message]``, after the statements of `setup`."""
        done = subprocess.run(
            [sys.executable, "-c", setup + LOOP],
            input="".join(json.dumps(expression) + "\n" for expression in expressions),
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if line.startswith("outcome:")]
        assert len(lines) == len(expressions), done.stdout + done.stderr
        return [json.loads(line.removeprefix("outcome:")) for line in lines]

    def hfmix(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        """The command line."""
        return subprocess.run(
            [sys.executable, "-m", "hfmix", *arguments],
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=200,
        )
