"""CPU threads of a process, and the memory that its C library keeps."""

from __future__ import annotations

import os
import sys

from zoo.system.hardware import cores
from zoo.system.launch import Launch

# malloc.h: the parameter for how many free bytes at the end of the heap go back to the system.
M_TRIM_THRESHOLD = -1
# malloc.h: the parameter for how many blocks may be mapped one by one.
M_MMAP_MAX = -4
# Bytes of freed memory that stay with the process; a batch of 256 images of 224 px in float32 has 154 MB.
KEPT_BYTES = 1 << 30


def threads_of(asked: int | str, launch: Launch) -> int:
    """Return the number of CPU threads of a process: as asked, or its share of this machine's cores."""
    return asked if isinstance(asked, int) else max(1, cores() // launch.local_processes)


def announce_threads(asked: int | str, launch: Launch) -> None:
    """Set OMP_NUM_THREADS, before the libraries that read it are loaded.

    Without it, Accelerate gives each of several CPU processes a number of threads of its own choice
    (`accelerate.state.PartialState`), whatever torch was given. Launchers set it for several processes of a machine and not
    for one, so that the same run would have other bits under each.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads_of(asked, launch))


def set_threads(asked: int | str, launch: Launch) -> int:
    """Set torch's number of CPU threads, as `accelerate launch` leaves each process a single one; return that number."""
    import torch

    threads = threads_of(asked, launch)
    torch.set_num_threads(threads)
    return threads


def keep_freed_memory() -> bool:
    """Keep freed memory in this process instead of giving it back to the system after each batch.

    glibc maps large blocks anew each time, and the system clears every page of them: making 224 px batches went from
    2,100 to 4,000 images/s without that. Returns whether the C library has such a setting (mallopt(3)).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform != "linux" or mallopt is None:
        return False
    never_mapped = mallopt(M_MMAP_MAX, 0)
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and never_mapped)
