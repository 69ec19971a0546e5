"""What a device can do and what a process takes of it: matrix-product peak, peak memory."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path

import torch

from zoo.run import cpu_name

# Sides of the square matrices: the fastest is the peak. On a CPU the larger ones take seconds and are no faster.
SIDES = {"cpu": (768, 1536), "cuda": (4096, 8192)}
REPEATS, LONGEST = 6, 0.25
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_peak(device: torch.device, precision: str) -> float:
    """TFLOP/s of the fastest product of two square matrices, in this process's threads."""
    peak = 0.0
    for side in SIDES.get(device.type, SIDES["cpu"]):
        left = torch.ones(side, side, device=device, dtype=DTYPES[precision])
        started = time.perf_counter()
        for _ in range(REPEATS):
            before = time.perf_counter()
            torch.mm(left, left)
            synchronise(device)
            peak = max(peak, 2 * side**3 / (time.perf_counter() - before) / 1e12)
            if time.perf_counter() - started > LONGEST:
                break
    return peak


def forget_peak(device: torch.device) -> None:
    """Count peak memory from now on, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory at one time, in 10**6 bytes: a GPU's allocator's, or this process's resident memory, libraries included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
