"""CPU threads of a process, and the memory that its C library keeps."""

from __future__ import annotations

import os
import sys

from zoo.system.hardware import cores
from zoo.system.launch import Launch

# malloc.h: the parameter for the number of free bytes at the end of the heap above which they return to the system.
M_TRIM_THRESHOLD = -1
# malloc.h: the parameter for the maximum number of blocks that are mapped individually.
M_MMAP_MAX = -4
# Bytes of freed memory that stay with the process; a batch of 256 images of 224 px in float32 has 154 MB.
KEPT_BYTES = 1 << 30


def threads_of(asked: int | str, launch: Launch) -> int:
    """Return the number of CPU threads of a process: the number asked for, or its share of this machine's cores."""
    return asked if isinstance(asked, int) else max(1, cores() // launch.local_processes)


def announce_threads(asked: int | str, launch: Launch) -> None:
    """Set OMP_NUM_THREADS, before the libraries that read it are loaded.

    Without it, Accelerate chooses the number of threads of each of several CPU processes itself
    (`accelerate.state.PartialState`), regardless of torch's setting. Launchers set it for several processes on a machine but
    not for one, so the results of the same run would differ between launchers.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads_of(asked, launch))


def set_threads(asked: int | str, launch: Launch) -> int:
    """Set torch's number of CPU threads and return it; `accelerate launch` leaves each process only one."""
    import torch

    threads = threads_of(asked, launch)
    torch.set_num_threads(threads)
    return threads


def keep_freed_memory() -> bool:
    """Keep freed memory in this process instead of giving it back to the system after each batch.

    By default, glibc maps large blocks again each time, and the system clears all of their pages. Avoiding this sped up the
    making of 224 px batches from 2,100 to 4,000 images/s. Returns whether the C library has such a setting (mallopt(3)).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform != "linux" or mallopt is None:
        return False
    never_mapped = mallopt(M_MMAP_MAX, 0)
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and never_mapped)
