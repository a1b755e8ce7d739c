"""Options of several processes, really launched on this CPU."""

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import QUICK, ROOT
from launching import launch

from hfmix.cli import main

SHARED = """
import json, os, sys
from pathlib import Path
import torch
from zoo import ZOO, counts, gradient, trainer_of
from hfmix import ERM
class Stream(torch.utils.data.IterableDataset):
    def __init__(self, data):
        self.data = data
    def __iter__(self):
        return (self.data[i] for i in range(len(self.data)))
folder, size, found, steps = Path(sys.argv[1]), int(sys.argv[2]), {}, {}
animal = next(animal for animal in ZOO if animal.name == "ViT")
for dispatch in (None, True):
    for stream in (False, True):
        for examples in (9, 16):
            trainer = trainer_of(
                animal, folder, examples, ERM(), per_device_eval_batch_size=size, per_device_train_batch_size=size,
                accelerator_config={"dispatch_batches": dispatch},
            )
            trainer.compute_metrics = counts
            if stream:
                trainer.train_dataset, trainer.eval_dataset = (Stream(animal.make(examples)) for _ in range(2))
            metrics, case = trainer.evaluate(), f"{dispatch}, {stream}, {examples}"
            found[case] = [metrics[key] for key in ("eval_count", "eval_right", "eval_loss")]
            steps[case] = gradient(trainer)  # after an evaluation
torch.save(steps, folder / f"steps{trainer.args.process_index}.pt")
(folder / f"found{trainer.args.process_index}.json").write_text(json.dumps(found))
trainer.accelerator.wait_for_everyone()
os._exit(0)  # what is tested are the figures, not how gloo's threads end
"""


def test_dispatched_batches_and_streams_count_once_also_after_an_evaluation(tmp_path):
    """accelerate takes a net that was evaluated for one that needs no averaging of gradients any more."""
    (tmp_path / "shared.py").write_text(SHARED)
    found, steps = [], []
    for processes, size in ((1, 8), (2, 4)):
        (folder := tmp_path / str(processes)).mkdir()
        launch(processes, tmp_path / "shared.py", folder, size)
        for rank in range(processes):
            found.append(json.loads((folder / f"found{rank}.json").read_text()))
            steps.append(torch.load(folder / f"steps{rank}.pt", weights_only=True))
    for case, (count, right, loss) in found[0].items():
        for others in found[1:]:
            assert others[case] == [count, right, pytest.approx(loss, rel=1e-5)], case
        for others in steps[1:]:
            assert (others[case] - steps[0][case]).norm() < 1e-5 * steps[0][case].norm(), case


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
        [*command, "--output_dir", tmp_path / "run"], capture_output=True, text=True, timeout=60, env=environment
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("hfmix: ")]
    assert run.returncode != 0 and not (tmp_path / "run").exists(), run.stderr
    assert len(lines) == 1 and lines[0].startswith("hfmix: error: FSDP is asked for, and this is a CPU"), (
        run.stderr
    )
