"""The page invariants.md: how splitting the work changes results, with the stock Trainer and with MixTrainer.

python -m experiments.papers.invariants    writes experiments/results/invariants.md and prints it (about two
minutes on two cores)
"""

import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers

import hfmix
from experiments.papers import RESULTS, ROOT

sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from shrink import randomize
from zoo import ZOO, Animal, gradient, trainer_of

TRAINERS = {"stock": None, "MixTrainer": hfmix.ERM()}
EXACT = 1e-5
TWO_PROCESSES = ("ViT", "ResNet", "timm ResNet", "Wav2Vec2")
NOTES = """# Invariants: what must not depend on how the work is split

Tiny nets of `tests/helpers/zoo.py` in float32 on a CPU (transformers {transformers}, torch {torch}), without
mixing, so that both trainers should do the same. **Bold** is wrong. `python -m experiments.papers.invariants`
writes this.

- accumulation: the largest difference of a step's gradient, relative to its norm, between 8 examples at once and
  4 + 4 or 2 + 2 + 2 + 2 of them, and between 10 at once and 4 + 4 + 2. At 3 the gradient is four times too large.
- evaluation: the largest relative difference of the loss of 10 examples between batches of 1, 3, 4 and 10.
- restore: of all tensors, those that resuming from a checkpoint or loading the best one fails to restore.
"""
TWO = """
Two processes against one: the step of 4 + 4 examples against that of 8, and the evaluation loss of 10 examples in
batches of 3, of which the last are filled up with repeated examples.
"""


def main() -> None:
    """Measures everything, and writes and prints the page."""
    header = ["backbone", *(f"{what}, {name}" for what in ("accumulation", "evaluation") for name in TRAINERS)]
    rows = []
    for animal in ZOO:
        accumulated, evaluated, restored = zip(
            *(measured(animal, policy) for policy in TRAINERS.values()), strict=True
        )
        rows.append([str(animal), *map(written, (*accumulated, *evaluated)), *restored])
    text = NOTES.format(transformers=transformers.__version__, torch=torch.__version__.partition("+")[0])
    text += "\n" + table([*header, *(f"restore, {name}" for name in TRAINERS)], rows) + TWO
    one, two = (launched(processes) for processes in (1, 2))
    rows = [[name, *(written(off) for off in differences(one[name], two[name]))] for name in TWO_PROCESSES]
    header = ["backbone", *(f"{what}, {name}" for what in ("step", "evaluation") for name in TRAINERS)]
    text += "\n" + table(header, rows)
    (RESULTS / "invariants.md").write_text(text)
    print(text)


def measured(animal: Animal, policy: hfmix.Policy | None) -> tuple[float, float, str]:
    """Measures the errors of accumulation and evaluation, and counts the tensors that are not restored."""
    with tempfile.TemporaryDirectory() as folder:

        def trainer(n: int, **arguments: int) -> transformers.Trainer:
            gc.freeze()  # each training collects garbage, which takes longer the more objects there are
            return trainer_of(animal, Path(folder), n, policy, **arguments)

        def step(n: int, size: int) -> torch.Tensor:
            return gradient(
                trainer(n, per_device_train_batch_size=size, gradient_accumulation_steps=-(-n // size))
            )

        eight, ten = step(8, 8), step(10, 10)
        accumulated = max(
            *(relative(step(8, size), eight) for size in (4, 2)),
            relative(step(10, 4), ten),
        )
        losses = [trainer(10, per_device_eval_batch_size=size).evaluate()["eval_loss"] for size in (10, 1, 3, 4)]
        evaluated = max(abs(loss - losses[0]) / losses[0] for loss in losses)
        last = trainer(8)
        randomize(last.model, seed=0)
        expected = {name: tensor.clone() for name, tensor in last.model.state_dict().items()}
        last.save_model(folder)
        randomize(last.model, seed=1)
        last._load_from_checkpoint(folder)
        state = last.model.state_dict()
        left = sum(not torch.equal(state[name], tensor) for name, tensor in expected.items())
        return accumulated, evaluated, f"**{left} of {len(state)}**" if left else f"0 of {len(state)}"


def launched(processes: int) -> dict[str, list[list[float]]]:
    """Returns what `worker` measures in the given number of processes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", f"--num_processes={processes}"]
        command += ["--multi_gpu"] * (processes > 1) + ["-m", __spec__.name, folder]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
        subprocess.run(
            command, env=environment, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return json.loads(Path(folder, "measured.json").read_text())


def worker(folder: Path) -> None:
    """Measures one step's gradient and one evaluation loss of each trainer, in one of several processes."""
    measurements: dict[str, list[list[float]]] = {}
    for animal in (animal for animal in ZOO if str(animal) in TWO_PROCESSES):
        measurements[str(animal)] = []
        for policy in TRAINERS.values():
            size = 8 // int(os.environ.get("WORLD_SIZE", "1"))
            trainer = trainer_of(animal, folder, 8, policy, per_device_train_batch_size=size)
            step = gradient(trainer)
            evaluated = trainer_of(animal, folder, 10, policy, per_device_eval_batch_size=3).evaluate()
            measurements[str(animal)].append([evaluated["eval_loss"], *step.tolist()])
    if trainer.args.process_index == 0:
        Path(folder, "measured.json").write_text(json.dumps(measurements))
    trainer.accelerator.wait_for_everyone()
    os._exit(0)


def differences(one: list[list[float]], two: list[list[float]]) -> list[float]:
    """Returns the relative differences of the steps, then of the losses, for each trainer in turn."""
    pairs = [(torch.tensor(a), torch.tensor(b)) for a, b in zip(one, two, strict=True)]
    return [relative(b[1:], a[1:]) for a, b in pairs] + [relative(b[:1], a[:1]) for a, b in pairs]


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Returns the norm of the difference over the expected norm."""
    return float((actual - expected).norm() / expected.norm())


def written(error: float) -> str:
    """Formats a difference for the table, bold if it is wrong."""
    return f"{error:.0e}" if error <= EXACT else f"**{error:.3g}**"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Formats rows as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the nets are too small for more
    if len(sys.argv) > 1:
        worker(Path(sys.argv[1]))
    else:
        main()
