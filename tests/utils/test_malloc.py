"""Freed memory is kept, where glibc allocates and nobody said otherwise."""

import os
import platform
import subprocess
import sys

import pytest

# pages that the system had to hand out anew for the last eight of 40 blocks of 64 MiB, one after the other: the
# first freed blocks can be a few bytes too small for the next one and its alignment
TOUCH = """
import resource, sys, torch
from hfmix.utils.malloc import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
faults = []
for _ in range(40):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(kept, sum(faults[-8:]))
"""


def touch(how: str, **environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name and "GLIBC" not in name}
    command = [sys.executable, "-c", TOUCH, how]
    run = subprocess.run(command, env=clean | environment, check=True, capture_output=True, text=True)
    kept, faults = run.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_blocks_are_used_again():
    kept, faults = touch("keep")
    assert kept == "True"
    _, without = touch("leave")
    assert without >= 8 * 32  # of 2 MiB each, should the system have huge ones
    assert faults < without / 20


def test_what_the_environment_says_stands():
    assert touch("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
