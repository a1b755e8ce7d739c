"""Two processes, really launched on this CPU."""

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from launching import launch
from project import QUICK, ROOT

from tests.distributed.work import compare

# what is measured in the end is not what these tests are about
TRAINING = [str(ROOT / "recipes/digits/mixup.yaml"), *QUICK, "--eval_strategy", "no", "--axes", "clean"]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this process finds alone."""
    folder = tmp_path_factory.mktemp("one")
    compare(folder, processes=1)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes find, all in one launch: most of its time is their start."""
    folder = tmp_path_factory.mktemp("two")
    launch(2, Path(__file__).with_name("work.py"), folder, *TRAINING, "--use_cpu", "true")
    return folder


def read(folder: Path, name: str):
    return json.loads((folder / f"{name}.json").read_text())


def test_hfmix_train_starts_two_and_leaves_one_run(tmp_path):
    run = tmp_path / "run"
    options = [*TRAINING, "--output_dir", str(run), "--num_processes", "2"]
    command = [sys.executable, "-m", "hfmix", "train", *options]
    launched = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert launched.returncode == 0, launched.stderr
    environment = json.loads((run / "environment.json").read_text())
    assert environment["hardware"]["num_processes"] == 2
    history = json.loads((run / "train_results.json").read_text())["log_history"]
    assert (
        history[-1]["step"] == 6 and history[-1]["epoch"] == 3.0
    )  # 96 images are 1.5 steps of 2 × 32, so 2 a pass


def test_processes_draw_different_plans(two):
    first, second = (read(two, f"plans{rank}") for rank in (0, 1))
    assert len(first) == len(second) == 6
    assert len({*first, *second}) == 12


def test_two_processes_of_four_take_the_step_of_one_of_eight(one, two):
    expected, found = (torch.load(folder / "gradient.pt", weights_only=True) for folder in (one, two))
    assert expected.norm() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.norm().item())


def test_each_process_learns_its_epoch(two):
    """accelerate's own loader does not tell it where the sampler is sharded."""
    for rank in (0, 1):
        # one example is looked at before training
        assert read(two, f"epochs{rank}") == [0] + [0] * 4 + [1] * 4 + [2] * 4


def test_two_processes_measure_what_one_does(one, two):
    expected, found = read(one, "found"), read(two, "found")
    assert (expected.pop("processes")[0], found.pop("processes")[0]) == (1, 2)
    assert len(expected) == 12 and found.keys() == expected.keys()
    for case, (count, right, loss) in expected.items():
        assert found[case] == [count, right, pytest.approx(loss, rel=1e-6)], case


def test_dispatched_batches_and_streams_count_once_also_after_an_evaluation(one, two):
    """accelerate takes a net that was evaluated for one that needs no averaging of gradients any more."""
    expected, steps = read(one, "dispatched0"), torch.load(one / "steps0.pt", weights_only=True)
    assert len(expected) == 8
    for rank in (0, 1):
        found, ours = read(two, f"dispatched{rank}"), torch.load(two / f"steps{rank}.pt", weights_only=True)
        for case, (count, right, loss) in expected.items():
            assert found[case] == [count, right, pytest.approx(loss, rel=1e-5)], case
            assert (ours[case] - steps[case]).norm() < 1e-5 * steps[case].norm(), case


def test_data_in_memory_are_shared_exactly(one, two):
    """Each image once a pass, whichever process has it, and changed as one process changes it."""
    alone, first, second = read(one, "fed0"), read(two, "fed0"), read(two, "fed1")
    assert [len(batch) for batch in alone] == [4, 4, 4, 4, 4, 2] * 2
    assert len(first) == len(second) == 6 and {len(batch) for batch in first + second} == {4}
    for epoch in range(2):
        given = list(chain(*alone[6 * epoch : 6 * epoch + 6]))
        shared = list(chain(*first[3 * epoch : 3 * epoch + 3], *second[3 * epoch : 3 * epoch + 3]))
        assert dict(map(tuple, shared)) == dict(map(tuple, given)) and len(dict(given)) == 22
        assert len(shared) == 24  # the last batches are filled up with two that were seen


STREAM = """
import json, os, sys
from itertools import islice
from pathlib import Path
from tiny import tiny_model
from tests.data.datasets.test_streamed import N, examples
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
