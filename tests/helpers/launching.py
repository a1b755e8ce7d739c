"""Really starting scripts in several processes on this CPU."""

import os
import subprocess
import sys
from pathlib import Path

from project import ROOT


def launch(processes: int, script: Path, *arguments: object) -> None:
    """Runs a script in so many processes on the CPU, through accelerate's launcher."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", f"--num_processes={processes}"]
    # each launch finds a free port, so that two tests at once do not meet
    command += ["--multi_gpu", "--main_process_port=0"] * (processes > 1)
    path = os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": path}
    command += [str(script), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert run.returncode == 0, run.stderr
