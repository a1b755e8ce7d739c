"""The environment of a computation: versions, hardware, and the code's git commit."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from typing import Any

_PACKAGES = ("hfmix", "torch", "torchvision", "timm", "transformers", "accelerate", "datasets", "numpy", "pillow")


def environment(seed: int, num_processes: int = 1) -> dict[str, Any]:
    """Returns the versions, the hardware, the working folder's git commit, and the seed."""
    return {
        "seed": seed,
        "versions": versions(),
        "hardware": hardware(num_processes),
        "git": _git_state(),
    }


@cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def hardware(num_processes: int = 1) -> dict[str, Any]:
    """Returns the hardware that training and evaluation ran on."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "gpus": gpus,
        "num_processes": num_processes,
    }


def cpu_multiplies_bf16() -> bool:
    """Returns whether this CPU has instructions for products in bf16; True if torch does not tell.

    Without them (AVX512_BF16 or AMX on x86) such products are emulated, and slower than those in float32.
    """
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return not capabilities or any(has for name, has in capabilities.items() if name.endswith("bf16"))


def _git_state() -> dict[str, Any] | None:
    """Returns the working folder's git commit and whether it has changes; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    return run.stdout.strip()
