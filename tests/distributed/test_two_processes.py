"""Two processes, really launched on this CPU."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import QUICK, ROOT
from launching import launch

RECIPE = str(ROOT / "recipes/digits/mixup.yaml")


DRAWS = """
import json, os, sys
from pathlib import Path
from hfmix import trainer
draw, plans = trainer.MixTrainer._draw_plan, []
def record(self, *batch):
    plan = draw(self, *batch)
    plans.append(plan.weight[0, 0].item())
    Path(sys.argv[1], f"rank{self.args.process_index}.json").write_text(json.dumps(plans))
    return plan
trainer.MixTrainer._draw_plan = record
from hfmix.train import main
os._exit(main(sys.argv[2:]))  # what is tested are the draws, not how gloo's threads end
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
    options = [RECIPE, *QUICK, "--use_cpu", "true", "--eval_strategy", "no", "--output_dir", tmp_path / "run"]
    launch(2, tmp_path / "draws.py", tmp_path, *options)
    first, second = (json.loads((tmp_path / f"rank{i}.json").read_text()) for i in (0, 1))
    assert len(first) == len(second) == 6
    assert len({*first, *second}) == 12


ONE_STEP = """
import os, sys
from pathlib import Path
import torch
from tiny import tiny_trainer, weights
from hfmix import ERM
batch_size = int(sys.argv[2])
trainer = tiny_trainer(
    Path(sys.argv[1]), ERM(), n=8, per_device_train_batch_size=batch_size, max_steps=1, optim="sgd",
    learning_rate=1.0, max_grad_norm=0, train_sampling_strategy="sequential",
)
start = weights(trainer)
trainer.train()
if trainer.args.process_index == 0:
    torch.save(start - weights(trainer), Path(sys.argv[1], "gradient.pt"))
trainer.accelerator.wait_for_everyone()
os._exit(0)  # what is tested is the step, not how gloo's threads end
"""


def test_two_processes_of_four_take_the_step_of_one_of_eight(tmp_path):
    (tmp_path / "step.py").write_text(ONE_STEP)
    gradients = []
    for processes, batch_size in ((1, 8), (2, 4)):
        folder = tmp_path / str(processes)
        folder.mkdir()
        launch(processes, tmp_path / "step.py", folder, batch_size)
        gradients.append(torch.load(folder / "gradient.pt", weights_only=True))
    assert gradients[0].norm() > 0.1
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5 * gradients[0].norm().item())


EPOCHS = """
import json, os, sys
from pathlib import Path
from tiny import Pictures, tiny_trainer
from hfmix import ERM
class Told(Pictures):
    told, used = 0, []
    def set_epoch(self, epoch):
        self.told = epoch
    def __getitem__(self, i):
        self.used.append(self.told)
        return super().__getitem__(i)
trainer = tiny_trainer(Path(sys.argv[1]), ERM(), per_device_train_batch_size=2, num_train_epochs=3, max_steps=-1)
trainer.train_dataset = Told(8)
trainer.train()
Path(sys.argv[1], f"epochs{trainer.args.process_index}.json").write_text(json.dumps(trainer.train_dataset.used))
trainer.accelerator.wait_for_everyone()
os._exit(0)  # what is tested are the epochs, not how gloo's threads end
"""


def test_each_process_learns_its_epoch(tmp_path):
    """accelerate's own loader does not tell it where the sampler is sharded."""
    (tmp_path / "epochs.py").write_text(EPOCHS)
    launch(2, tmp_path / "epochs.py", tmp_path)
    for rank in (0, 1):
        assert json.loads((tmp_path / f"epochs{rank}.json").read_text()) == [0] * 4 + [1] * 4 + [2] * 4


EVALUATE = """
import json, os, sys
from pathlib import Path
from zoo import ZOO, counts, trainer_of
from hfmix import RegMixup
found = {}
for animal in (animal for animal in ZOO if animal.name in ("ViT", "ResNet")):
    for examples, size in ((10, 1), (10, 3), (10, 4), (10, 8), (12, 3), (3, 4)):
        settings = {"per_device_eval_batch_size": size, "output_dir": sys.argv[1]}
        trainer = trainer_of(animal, Path(sys.argv[1]), examples, RegMixup(20.0), **settings)
        trainer.compute_metrics = counts
        metrics = trainer.evaluate()
        keys = ("eval_count", "eval_right", "eval_loss")
        found[f"{animal}, {examples} examples by {size}"] = [metrics[key] for key in keys]
if trainer.args.process_index == 0:
    found["processes"] = [trainer.args.world_size, 0, 0]
    Path(sys.argv[1], "found.json").write_text(json.dumps(found))
trainer.accelerator.wait_for_everyone()
os._exit(0)  # what is tested are the figures, not how gloo's threads end
"""


def test_two_processes_measure_what_one_does(tmp_path):
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    found = []
    for processes in (1, 2):
        (folder := tmp_path / str(processes)).mkdir()
        launch(processes, tmp_path / "evaluate.py", folder)
        found.append(json.loads((folder / "found.json").read_text()))
        assert found[-1].pop("processes")[0] == processes
    one, two = found
    assert len(one) == 12 and one.keys() == two.keys()
    for case, (count, right, loss) in one.items():
        assert two[case] == [count, right, pytest.approx(loss, rel=1e-6)], case


STREAM = """
import json, os, sys
from itertools import islice
from pathlib import Path
from tiny import tiny_model
from data.test_streams import N, examples
from hfmix import MixTrainer, MixTrainingArguments
settings = {"per_device_train_batch_size": 5, "max_steps": 8, "use_cpu": True, "dataloader_pin_memory": False}
args = MixTrainingArguments(output_dir=sys.argv[1], **settings, dataloader_num_workers=int(sys.argv[2]))
trainer = MixTrainer(model=tiny_model(), args=args, train_dataset=examples())
batches = islice(trainer.get_train_dataloader(), 2 * N // 10)
rows = [batch["row"].tolist() for batch in batches]
Path(sys.argv[1], f"rows{args.process_index}.json").write_text(json.dumps(rows))
trainer.accelerator.wait_for_everyone()
os._exit(0)  # what is tested are the rows, not how gloo's threads end
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_processes_share_a_stream(tmp_path, num_workers):
    """Each example once a pass, whichever process has it; no batch is short."""
    (tmp_path / "stream.py").write_text(STREAM)
    launch(2, tmp_path / "stream.py", tmp_path, num_workers)
    first, second = (json.loads((tmp_path / f"rows{rank}.json").read_text()) for rank in (0, 1))
    assert [len(batch) for batch in first + second] == [5] * 16
    passes = [sorted(row for batch in first[at] + second[at] for row in batch) for at in (slice(4), slice(4, 8))]
    assert passes == [list(range(40))] * 2
