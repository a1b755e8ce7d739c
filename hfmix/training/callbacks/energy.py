"""The energy that training took, from the machine's own counters; nothing is estimated."""

import os
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

RAPL = Path("/sys/class/powercap")
_SECONDS = 10.0  # between two readings: a package's counter wraps around after minutes
_JOULES_PER_KWH = 3.6e6


class EnergyMeter(TrainerCallback):
    """Reader of the energy counters of CPU packages (RAPL, in µJ) and GPUs (NVML, in mJ) during training.

    They count the whole machine, including other processes. If a GPU is trained on and its counter cannot be read,
    or if training is spread over several machines or was resumed, the total is unknown.

    Args:
        rapl: Linux's powercap folder.
    """

    def __init__(self, rapl: Path = RAPL) -> None:
        # top level only: a zone such as intel-rapl:0:1 is a part of intel-rapl:0
        self._zones = sorted(path for path in rapl.glob("*-rapl:*") if path.name.count(":") == 1)
        self._last: dict[Path, int] | None = None
        self._read_at = 0.0
        self._begun_at = 0
        self._gpus_at_start: float | None = None
        self._joules = {"CPU packages (RAPL)": 0.0, "GPUs (NVML)": 0.0}
        self._measured: list[str] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Takes the first reading."""
        self._begun_at = state.global_step
        self._last, self._read_at = self._packages(), time.monotonic()
        self._gpus_at_start = _joules_of_gpus() if args.n_gpu > 0 else None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Reads the packages again, before their counters wrap around."""
        if time.monotonic() - self._read_at >= _SECONDS:
            self._add()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Takes the last reading, and notes which counters cover the whole training."""
        self._add()
        if self._begun_at > 0 or args.world_size != int(os.environ.get("LOCAL_WORLD_SIZE", args.world_size)):
            return
        cpu, gpu = self._joules
        if args.n_gpu > 0:
            at_end = _joules_of_gpus()
            if at_end is None or self._gpus_at_start is None:
                return
            self._joules[gpu] = at_end - self._gpus_at_start
            self._measured.append(gpu)
        if self._last:
            self._measured.insert(0, cpu)

    def used(self) -> dict[str, Any] | None:
        """Returns ``kilowatt_hours`` and, in words, what was ``measured``; None if nothing was."""
        if not self._measured:
            return None
        joules = sum(self._joules[name] for name in self._measured)
        return {"kilowatt_hours": joules / _JOULES_PER_KWH, "measured": f"the {' and the '.join(self._measured)}"}

    def _packages(self) -> dict[Path, int] | None:
        try:
            return {zone: int((zone / "energy_uj").read_text()) for zone in self._zones}
        except (OSError, ValueError):  # often readable only by root
            return None

    def _add(self) -> None:
        self._read_at, before, self._last = time.monotonic(), self._last, self._packages()
        if before is None or self._last is None:
            self._last = None
            return
        for zone, now in self._last.items():
            spent = now - before[zone]
            if spent < 0:
                spent += int((zone / "max_energy_range_uj").read_text())
            self._joules["CPU packages (RAPL)"] += spent / 1e6


def _joules_of_gpus() -> float | None:
    """Returns the sum of the counters of the GPUs that this process can see; None if they cannot be read."""
    import torch

    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [
            pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(i).uuid}")
            for i in range(torch.cuda.device_count())
        ]
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1e3
    except Exception:  # no such package, no such driver, an old card: each raises an error of its own
        return None
