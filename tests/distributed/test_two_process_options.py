"""Options in two processes: they train as one process of twice the batch, and one line tells of a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launching import launch
from project import QUICK, ROOT

SCRIPT = """
import os, sys
from pathlib import Path
import torch
from tiny import Pictures, tiny_arguments, tiny_model, weights
from hfmix import MixTrainer
from hfmix.training.callbacks.freeze_backbone import FreezeBackbone

class Labelled(Pictures):
    def __init__(self):
        super().__init__(16)
        self.labels = self.y = torch.tensor([0] * 10 + [1, 1, 2, 2, 3, 3])
        self.read = []
    def __getitem__(self, i):
        self.read.append(i)
        return super().__getitem__(i)

folder, size = Path(sys.argv[1]), int(sys.argv[2])
settings = {"sampler": "balanced", "freeze_backbone": True, "unfreeze_at_epoch": 1, "class_weights": "balanced"}
settings |= {"optim": "sgd", "learning_rate": 0.05, "max_grad_norm": 0, "dataloader_pin_memory": False}
args = tiny_arguments(folder / "run", max_steps=4, per_device_train_batch_size=size, loss_kind="focal", **settings)
data = Labelled()
trainer = MixTrainer(model=tiny_model(), args=args, train_dataset=data)
before = weights(trainer)
trainer.train()
kept = {"step": weights(trainer) - before, "read": data.read[1:]}  # but for what checks look at
torch.save(kept, folder / f"{size}-{args.process_index}.pt")
trainer.accelerator.wait_for_everyone()
os._exit(0)
"""


@pytest.mark.slow
def test_two_processes_train_a_frozen_net_and_balanced_draws_as_one_does(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    launch(1, tmp_path / "script.py", tmp_path, 8)
    launch(2, tmp_path / "script.py", tmp_path, 4)
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("8-0", "4-0", "4-1"))
    assert first["step"].norm() > 0.01 and torch.equal(first["step"], second["step"])
    assert (first["step"] - one["step"]).norm() < 1e-4 * one["step"].norm()
    shared = [row for at in range(0, 16, 4) for part in (first, second) for row in part["read"][at : at + 4]]
    assert shared == one["read"] and first["read"] != second["read"]


@pytest.mark.slow
def test_a_failure_of_the_second_process_alone_is_told_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from hfmix.data.datasets.map_style import Examples\n"
        "from hfmix import train\n"
        "read = Examples.__getitem__\n"
        "def fails(self, i):\n"
        "    if os.environ['RANK'] == '1' and self.seed is not None:\n"
        "        raise ValueError('train row 7 (b.png) is not an image')\n"
        "    return read(self, i)\n"
        "Examples.__getitem__ = fails\n"
        "sys.exit(train.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--num_processes=2", "--multi_gpu"]
    command += ["--main_process_port=0", script, ROOT / "recipes/digits/mixup.yaml", *QUICK, "--use_cpu", "true"]
    command += ["--eval_strategy", "no", "--dataloader_num_workers", "1", "--output_dir", tmp_path / "run"]
    run = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=180, cwd=ROOT, env=environment()
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("hfmix: ")]
    assert run.returncode != 0 and lines == ["hfmix: error: train row 7 (b.png) is not an image"], run.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(Path(ROOT))}
