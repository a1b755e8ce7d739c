"""Speed of attacks on a ResNet-20 at 32 pixels, compared with their bare passes and with torchattacks.

Targets: ten steps of PGD within 1.05 times ten forward and backward passes (to the input only); FGSM and PGD not
slower than torchattacks' (`pip install --no-deps torchattacks`; without it, that part is left out). All calls take
turns, and each ratio is between times of the same round, so that a machine that slows down slows both.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
from timing import benchmark_table
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix import load_backbone
from hfmix.robustness.attacks import fgsm, pgd

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10


class Logits(nn.Module):
    """A model that returns plain logits, as torchattacks needs it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (B, C)."""
        return self.model(x).logits


def passes(model: nn.Module, x: Tensor, y: Tensor, count: int) -> Tensor:
    """Runs `count` forward and backward passes, and returns the last gradient in x."""
    for _ in range(count):
        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
    return gradient


def seconds(calls: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, np.ndarray]:
    """Times each call in each round, (rounds,), all in turn; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            if i:
                times[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Logits(load_backbone("resnet20_cifar", [str(i) for i in range(10)], pretrained=False)[0])
    model = model.eval().to(options.device)
    x = torch.rand(options.batch_size, 3, 32, 32, device=options.device)
    y = torch.randint(10, (options.batch_size,), device=options.device)
    attacks = {"fgsm": lambda: fgsm(model, x, y, EPS), "pgd": lambda: pgd(model, x, y, EPS, STEP, STEPS)}
    calls = {"one pass": lambda: passes(model, x, y, 1), "ten passes": lambda: passes(model, x, y, STEPS)}
    calls |= {f"hfmix {name}": call for name, call in attacks.items()}
    pairs = [("hfmix pgd", "ten passes", "≤ 1.05"), ("hfmix fgsm", "one pass", "")]
    if importlib.util.find_spec("torchattacks"):
        import torchattacks

        peers = {
            "fgsm": torchattacks.FGSM(model, eps=EPS),
            "pgd": torchattacks.PGD(model, eps=EPS, alpha=STEP, steps=STEPS),
        }
        calls |= {f"torchattacks {name}": lambda peer=peer: peer(x, y) for name, peer in peers.items()}
        pairs += [(f"hfmix {name}", f"torchattacks {name}", "≤ 1") for name in peers]
    times = seconds(calls, options.rounds, options.device)
    rows = []
    for name, other, target in pairs:
        ratios = times[name] / times[other]
        best = times[name].min() / times[other].min()
        rows.append([f"{name} ÷ {other}", f"{1000 * times[name].min():.1f} ms", f"{best:.3f}"])
        rows[-1] += [f"{np.median(ratios):.3f}", target]
    print(benchmark_table(["what", "fastest", "ratio of the fastest", "median ratio", "target"], rows))


if __name__ == "__main__":
    main()
