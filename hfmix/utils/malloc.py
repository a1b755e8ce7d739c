"""The C library's memory allocation, for work on a CPU."""

import ctypes
import os
import platform

# of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory() -> bool:
    """Makes this process reuse the memory that it frees, in blocks of up to 2 GiB.

    glibc returns large blocks to the system as soon as they are freed, and the system clears each page of the next
    block when it is first touched. A net on a CPU frees and allocates its activations at every step, and can spend
    a fifth of its time on this (experiments/results/speed_training.md). Results stay the same. The process keeps
    its peak memory until it ends, so this is for commands; a library should not do it when it is imported.

    Returns:
        Whether the setting was made: False if the C library is not glibc, or if the environment configures
        allocation itself, which is left alone.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _SETTINGS):
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(which, _MOST) for which in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
