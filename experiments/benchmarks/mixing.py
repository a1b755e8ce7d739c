"""Speed of applying a plan on the CPU, compared with copying as many bytes and with peers in the same process.

Ratios of the fastest of interleaved repeats. Targets: mixup in place at 224 pixels at most 1.2 times `copy_`, 10
times faster than timm's batch mode and 4 times faster than torchvision's; at 32 pixels never slower than
`torch.lerp`; RegMixup's 2N rows at most 1.2 times two copies at 224 pixels and 1.6 times at 32; CutMix in place at
most 0.6 times torchvision's; the collator at most 1.2 times `torch.stack`, which a worker does in one thread; in
place, two rows of memory per thread.
"""

import argparse
from collections.abc import Callable

import torch
from timing import benchmark_table, interleaved, peak_bytes
from timm.data import Mixup as TimmMixup
from torchvision.transforms import v2

from hfmix import CutMix, MixCollator, Mixup, RegMixup
from hfmix.mixing import keyed_generator

SHAPES = [((64, 3, 224, 224), 20), ((128, 3, 32, 32), 400)]
CLASSES = 10
STACK, COLLATE = "torch.stack of samples", "MixCollator, mixup"


def measure(shape: tuple[int, ...], repeats: int) -> list[list[str]]:
    """Returns the rows of the table for batches of `shape`."""
    n, size = shape[0], shape[-1]
    torch.manual_seed(0)
    x, labels = torch.randn(shape), torch.randint(CLASSES, (n,))
    samples = list(zip(x.clone().unbind(0), labels.tolist(), strict=True))
    copy, double = torch.empty_like(x), torch.empty(2 * n, *shape[1:])
    mixup, regmixup, cutmix = (
        policy.sample(n, shape[1:], keyed_generator(i)) for i, policy in enumerate([Mixup(), RegMixup(), CutMix()])
    )
    partner, lam = mixup.source[:, 1], mixup.weight[0, 0].item()
    timm_mixup = TimmMixup(1.0, 0.0, label_smoothing=0.0, num_classes=CLASSES)
    timm_cutmix = TimmMixup(0.0, 1.0, label_smoothing=0.0, num_classes=CLASSES)
    tv_mixup, tv_cutmix = v2.MixUp(num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)
    collate = MixCollator(Mixup())

    def two_copies() -> None:
        double[:n].copy_(x)
        double[n:].copy_(x)

    calls: dict[str, Callable[[], object]] = {
        "copy_": lambda: copy.copy_(x),
        "mixup, apply_": lambda: mixup.apply_(x),
        "mixup, draw and apply_": lambda: Mixup().sample(n, generator=keyed_generator(3)).apply_(x),
        "torch.lerp(x, x[p], w)": lambda: torch.lerp(x, x[partner], 1.0 - lam),
        "timm Mixup, batch mode": lambda: timm_mixup(x, labels),
        "torchvision MixUp": lambda: tv_mixup(x, labels),
        "copy_ of 2N rows": two_copies,
        "RegMixup, apply(out=)": lambda: regmixup.apply(x, out=double),
        "torch.cat of x and lerp": lambda: torch.cat([x, torch.lerp(x, x[partner], 1.0 - lam)]),
        "CutMix, apply_": lambda: cutmix.apply_(x),
        "torchvision CutMix": lambda: tv_cutmix(x, labels),
        "timm Mixup, CutMix": lambda: timm_cutmix(x, labels),
        STACK: lambda: torch.stack([image for image, _ in samples]),
        COLLATE: lambda: collate(samples),
    }
    composer = _composer()
    if composer is not None:
        calls["Composer mixup_batch"] = lambda: composer(x, labels, mixing=0.3)
    seconds = interleaved(calls, repeats)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a DataLoader's worker has
    in_worker = interleaved({name: calls[name] for name in (STACK, COLLATE)}, repeats)
    torch.set_num_threads(threads)
    row_bytes = x[0].nbytes

    def ratio(what: str, beside: str, target: str) -> list[str]:
        return [f"{size}", what, beside, f"{seconds[what] / seconds[beside]:.3f}", target]

    def memory(what: str, call: Callable[[], object], target: str) -> list[str]:
        return [f"{size}", what, "rows of extra memory", f"{peak_bytes(call) / row_bytes:.2f}", target]

    at_224 = size == 224
    collating = "≤ 1.2" if at_224 else ""
    others = [ratio("mixup, apply_", "Composer mixup_batch", "")] if composer is not None else []
    return [
        *others,
        ratio("mixup, apply_", "copy_", "≤ 1.2" if at_224 else ""),
        ratio("mixup, draw and apply_", "copy_", ""),
        ratio("mixup, apply_", "timm Mixup, batch mode", "≤ 0.1" if at_224 else ""),
        ratio("mixup, apply_", "torchvision MixUp", "≤ 0.25" if at_224 else ""),
        ratio("mixup, apply_", "torch.lerp(x, x[p], w)", "" if at_224 else "≤ 1"),
        ratio("RegMixup, apply(out=)", "copy_ of 2N rows", "≤ 1.2" if at_224 else "≤ 1.6"),
        ratio("RegMixup, apply(out=)", "torch.cat of x and lerp", ""),
        ratio("CutMix, apply_", "torchvision CutMix", "≤ 0.6"),
        ratio("CutMix, apply_", "timm Mixup, CutMix", ""),
        [f"{size}", f"{COLLATE}, one thread", STACK, f"{in_worker[COLLATE] / in_worker[STACK]:.3f}", collating],
        ratio(COLLATE, STACK, collating),
        memory("mixup, apply_", lambda: mixup.apply_(x), f"≤ {2 * torch.get_num_threads()}" if at_224 else ""),
        memory("CutMix, apply_", lambda: cutmix.apply_(x), f"≤ {2 * torch.get_num_threads()}" if at_224 else ""),
        memory("timm Mixup, batch mode", lambda: timm_mixup(x, labels), ""),
        memory("torchvision MixUp", lambda: tv_mixup(x, labels), ""),
    ]


def _composer() -> Callable[..., object] | None:
    """Returns Composer's mixup, if it is installed."""
    try:
        from composer.algorithms.mixup import mixup_batch
    except ImportError:
        return None
    return mixup_batch


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=float, default=1.0, help="a multiple of the usual number of repeats")
    factor = parser.parse_args().repeats
    rows = [row for shape, repeats in SHAPES for row in measure(shape, max(1, round(repeats * factor)))]
    print(benchmark_table(["pixels", "what", "compared with", "ratio", "target"], rows))


if __name__ == "__main__":
    main()
