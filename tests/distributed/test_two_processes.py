"""Two processes, really launched on this CPU."""

import json
import os
import subprocess
import sys

from conftest import QUICK, ROOT

RECIPE = str(ROOT / "recipes/digits/mixup.yaml")

DRAWS = """
import json, sys
from pathlib import Path
from hfmix import trainer
draw, plans = trainer.MixTrainer._draw_plan, []
def record(self, inputs):
    plan = draw(self, inputs)
    plans.append(plan.weight[0, 0].item())
    Path(sys.argv[1], f"rank{self.args.process_index}.json").write_text(json.dumps(plans))
    return plan
trainer.MixTrainer._draw_plan = record
from hfmix.train import main
sys.exit(main(sys.argv[2:]))
"""


def test_hfmix_train_starts_two_and_leaves_one_run(tmp_path):
    run = tmp_path / "run"
    options = [RECIPE, *QUICK, "--eval_strategy", "no", "--output_dir", str(run), "--num_processes", "2"]
    command = [sys.executable, "-m", "hfmix", "train", *options]
    launched = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert launched.returncode == 0, launched.stderr
    environment = json.loads((run / "environment.json").read_text())
    assert environment["hardware"]["num_processes"] == 2
    history = json.loads((run / "train_results.json").read_text())["log_history"]
    assert (
        history[-1]["step"] == 6 and history[-1]["epoch"] == 3.0
    )  # 96 images are 1.5 steps of 2 × 32, so 2 a pass


def test_processes_draw_different_plans(tmp_path):
    (tmp_path / "draws.py").write_text(DRAWS)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--multi_gpu", "--num_processes=2"]
    command += [str(tmp_path / "draws.py"), str(tmp_path), RECIPE, *QUICK, "--use_cpu", "true"]
    command += ["--eval_strategy", "no", "--output_dir", str(tmp_path / "run")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    launched = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=180)
    assert launched.returncode == 0, launched.stderr
    first, second = (json.loads((tmp_path / f"rank{i}.json").read_text()) for i in (0, 1))
    assert len(first) == len(second) == 6
    assert len({*first, *second}) == 12
