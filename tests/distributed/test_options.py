"""Options of several processes that are refused on a CPU."""

import os
import subprocess
import sys

import pytest
from project import QUICK, ROOT

from hfmix.cli import main


@pytest.mark.parametrize("options", [["--fsdp"], ["--deepspeed", "zero.json"]], ids=str)
def test_hfmix_train_refuses_sharding_on_a_cpu(tmp_path, one_line, options):
    run = str(tmp_path / "run")
    arguments = ["train", str(ROOT / "recipes/digits/mixup.yaml"), *QUICK, "--use_cpu", "true", *options]
    assert main([*arguments, "--output_dir", run]) == 2
    assert "is asked for" in one_line() and not (tmp_path / "run").exists()


def test_accelerates_launcher_does_too(tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=2", "--main_process_port=0"]
    command += ["--config_file", str(ROOT / "recipes/accelerate/fsdp.yaml"), "-m", "hfmix.train"]
    command += [str(ROOT / "recipes/digits/mixup.yaml"), *QUICK, "--use_cpu", "true"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*command, "--output_dir", tmp_path / "run"], capture_output=True, text=True, timeout=180, env=environment
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("hfmix: ")]
    assert run.returncode != 0 and not (tmp_path / "run").exists(), run.stderr
    assert len(lines) == 1 and lines[0].startswith("hfmix: error: FSDP is asked for, but this is a CPU"), (
        run.stderr
    )
