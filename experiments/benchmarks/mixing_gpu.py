"""Speed of mixing on a GPU: hfmix's fused kernel, compared with copying as many bytes and with peers.

Device time between two events, each call after a fill that flushes the caches and is long enough for the host to
run ahead; medians. The host's own time for a call, which a training step hides, is listed too. Target: 80 % of the
bandwidth of `copy_` on as many bytes.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import hfmix
from hfmix.mixing import kernels
from hfmix.mixing.kernels import functional

LARGE = [(64, 3, 224, 224), (256, 3, 224, 224)]
BATCHES = [(shape, dtype) for shape in LARGE for dtype in (torch.float32, torch.bfloat16, torch.uint8)]
BATCHES.append(((128, 3, 32, 32), torch.float32))
CLASSES = 1000
FLUSH_BYTES = 2 * 2**30  # about 0.5 ms of writing on an H200, and more than any cache
CHUNK = 20  # calls between two synchronizations, far fewer than the device's queue holds


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        copied_us: device time of a `copy_` that reads and writes as many bytes as the method has to.
        note: the reason if there are no times.
    """

    batch: str
    method: str
    gigabytes: float
    device_us: float = 0.0
    host_us: float = 0.0
    copied_us: float = 0.0
    note: str = ""

    @property
    def bandwidth(self) -> float:
        """Returns GB/s over the bytes that the method has to read and write; it may move more."""
        return self.gigabytes / self.device_us * 1e6

    @property
    def share(self) -> float:
        """Returns the bandwidth as a share of the copy's."""
        return self.copied_us / self.device_us


@dataclass(frozen=True)
class Case:
    """A way to mix a batch.

    Attributes:
        call: mixes; its inputs and outputs are allocated beforehand, unless it allocates them itself.
        rows: least number of rows that it reads and writes.
    """

    call: Callable[[], object]
    rows: int


def cases(x: Tensor, backend: str = "inductor") -> dict[str, Case]:
    """Returns all methods for the batch `x`, (N, C, H, W), on its device; `backend` is torch.compile's."""
    n, shape = len(x), tuple(x.shape[1:])
    plans = {
        "mixup": hfmix.Mixup(),
        "mixup, a λ per example": hfmix.Mixup(granularity="example"),
        "cutmix": hfmix.CutMix(),
        "cutmix, a box per example": hfmix.CutMix(granularity="example"),
        "resizemix": hfmix.ResizeMix(),
        "dirichlet, 3 rows": hfmix.DirichletMixup(k=3),
        "regmixup": hfmix.RegMixup(),
    }
    methods = {}
    for name, policy in plans.items():
        plan = policy.sample(n, shape=shape, generator=torch.Generator().manual_seed(1))
        out = kernels.empty_rows(x, plan.num_rows)
        methods[f"hfmix {name}, out given"] = Case(lambda p=plan, o=out: p.apply(x, out=o), n + plan.num_rows)
        if name in ("mixup", "cutmix"):
            own = x.clone()
            methods[f"hfmix {name}, in place"] = Case(lambda p=plan, y=own: p.apply_(y), 2 * n)
    plan = plans["mixup"].sample(n, generator=torch.Generator().manual_seed(1))
    methods["hfmix mixup without the fused kernel"] = Case(lambda: functional.mix(x, plan), 2 * n)
    torch.compiler.reset()
    on_device, compiled = plan.to(x.device), torch.compile(functional.mix, backend=backend, dynamic=False)
    methods["the same, torch.compile'd, plan on the GPU"] = Case(lambda: compiled(x, on_device), 2 * n)
    fused = kernels._fused(x.device)
    if fused is not None:
        out, table = torch.empty_like(x), fused._table(plan, n, x.device)
        methods["hfmix mixup, its kernel alone"] = Case(lambda: fused._run(x, out, table, num_sources=2), 2 * n)
    return methods | peers(x)


def peers(x: Tensor) -> dict[str, Case]:
    """Returns the peers' methods; float only. timm and torchvision mix N labels too, which adds little work."""
    if not x.is_floating_point():
        return {}
    n, generator = len(x), torch.Generator().manual_seed(1)
    permutation, labels = torch.randperm(n, generator=generator).to(x.device), torch.arange(n, device=x.device)
    methods = {"lerp(x, x[p], w)": Case(lambda: torch.lerp(x, x[permutation], 0.3), 2 * n)}
    try:
        from timm.data import Mixup

        timm_mixup, own = Mixup(mixup_alpha=1.0, num_classes=CLASSES), x.clone()
        # works in place, and on even batches only
        methods["timm Mixup, batch mode"] = Case(lambda: timm_mixup(own, labels), 2 * n)
    except ImportError:
        print("timm is not installed: left out", file=sys.stderr)
    try:
        from torchvision.transforms.v2 import MixUp

        torchvision_mixup = MixUp(num_classes=CLASSES)
        methods["torchvision MixUp"] = Case(lambda: torchvision_mixup(x, labels), 2 * n)
    except ImportError:
        print("torchvision is not installed: left out", file=sys.stderr)
    return methods


def measure(call: Callable[[], object], iterations: int, flush: Tensor) -> tuple[float, float]:
    """Measures the medians of the device's and the host's microseconds per call."""
    for _ in range(5):
        call()
    device, host = [], []
    for _ in range(max(1, iterations // CHUNK)):
        events = []
        torch.cuda.synchronize()
        for _ in range(min(CHUNK, iterations)):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            flush.zero_()
            start.record()
            begun = time.perf_counter()
            call()
            host.append(1e6 * (time.perf_counter() - begun))
            end.record()
            events.append((start, end))
        torch.cuda.synchronize()
        device += [1e3 * start.elapsed_time(end) for start, end in events]
    return statistics.median(device), statistics.median(host)


def measure_batch(shape: tuple[int, ...], dtype: torch.dtype, iterations: int, flush: Tensor) -> list[Figure]:
    """Measures one batch on the device of `flush`; a method that fails becomes a line with the reason."""
    name = f"{'×'.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"
    x = torch.randn(shape, device=flush.device)
    x = (x * 40 + 128).clamp(0, 255).to(dtype) if dtype == torch.uint8 else x.to(dtype)

    @cache
    def copying(rows: int) -> tuple[float, float]:
        a = torch.empty(rows * x[0].nbytes // 2, dtype=torch.uint8, device=x.device).random_()
        b = torch.empty_like(a)
        return measure(lambda: b.copy_(a), iterations, flush)

    figures = [Figure(name, "copy_", 2 * x.nbytes / 1e9, *copying(2 * len(x)), copying(2 * len(x))[0])]
    for method, case in cases(x).items():
        gigabytes = case.rows * x[0].nbytes / 1e9
        try:
            figures.append(
                Figure(name, method, gigabytes, *measure(case.call, iterations, flush), copying(case.rows)[0])
            )
        except Exception as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            figures.append(Figure(name, method, gigabytes, note=reason[:80]))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Formats the results as Markdown."""
    lines = [
        "| batch | method | device, µs | GB/s | of copy_'s bandwidth | host, µs |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for f in figures:
        if f.note:
            lines.append(f"| {f.batch} | {f.method} | {f.note} | | | |")
        else:
            times = f"{f.device_us:.1f} | {f.bandwidth:.0f} | {100 * f.share:.0f} % | {f.host_us:.0f}"
            lines.append(f"| {f.batch} | {f.method} | {times} |")
    return "\n".join(lines)


def report(figures: Sequence[Figure]) -> dict[str, object]:
    """Returns the results with the machine and the versions, as plain JSON."""
    import triton

    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "processors": properties.multi_processor_count,
        "versions": {"torch": torch.__version__, "triton": triton.__version__, "cuda": torch.version.cuda},
        "hfmix": hfmix.__version__,
        "figures": [as_json(figure) for figure in figures],
    }


def as_json(figure: Figure) -> dict[str, object]:
    """Returns one line's values, with bandwidth and share unless it failed."""
    if figure.note:
        return asdict(figure)
    return asdict(figure) | {"gb_per_s": figure.bandwidth, "share_of_copy_bandwidth": figure.share}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("mixing_gpu: no GPU here, nothing measured")
        return
    if kernels._fused(torch.device("cuda", 0)) is None:
        sys.exit("mixing_gpu: Triton does not run here, so there is no fused kernel to measure")
    flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda")
    figures = []
    for shape, dtype in BATCHES:
        figures += measure_batch(shape, dtype, options.iterations, flush)
    print(table(figures))
    if options.out is not None:
        options.out.write_text(json.dumps(report(figures), indent=1) + "\n")


if __name__ == "__main__":
    main()
