"""A card's code, block by block as it is printed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from project import ROOT

# runs each of the blocks that come as JSON with names of its own, and says where the next one's output begins
TOGETHER = """
import json, sys
for block in json.load(sys.stdin):
    exec(compile(block, "card", "exec"), {"__name__": "__main__"})
    print("\\0", end="", flush=True)
"""


def outputs_of(run: Path, where: Path, apart: bool) -> list[str]:
    """What each block of Python of the run's card prints, in their order.

    They run in the folder `where`, which holds the input that they name; the run is at ``path/to/this/folder``.

    Args:
        apart: each in a process of its own, all at once; or one after the other in one process, which is quicker.
    """
    shutil.copytree(run, where / "path/to/this/folder")
    blocks = re.findall(r"^```python\n(.*?)^```", (run / "README.md").read_text(encoding="utf-8"), re.S | re.M)
    scripts = [(block, "") for block in blocks] if apart else [(TOGETHER, json.dumps(blocks))]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=where,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for script, _ in scripts
    ]
    found = [process.communicate(given, timeout=200) for process, (_, given) in zip(started, scripts, strict=True)]
    for process, (script, _), (_, errors) in zip(started, scripts, found, strict=True):
        assert process.returncode == 0, f"{script}\n{errors}"
    return [printed for printed, _ in found] if apart else found[0][0].split("\0")[:-1]
