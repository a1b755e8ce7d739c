"""The C library's memory on a CPU."""

import ctypes
import os
import platform

# of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory() -> bool:
    """Makes this process keep the memory that it frees for what it allocates next, in blocks of up to 2 GiB.

    glibc gives large blocks back to the system as soon as they are free, and has each page of the next one cleared
    at its first touch. A net on a CPU frees and allocates its activations at every step, and can spend a fifth of
    its time so (experiments/results/speed_training.md). What is computed stays the same. The process
    holds its highest use of memory until it ends; so this is for commands, and nothing that a library should do at
    its import.

    Returns:
        Whether it does so now: False where the C library is not glibc, or the environment already says how it is
        to allocate, which then stands.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _SETTINGS):
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(which, _MOST) for which in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
