"""Measure the fastest matrix product of this machine, the reference for the speed of models."""

from __future__ import annotations

import time

import torch

from zoo.system.device import DTYPES, synchronize

# Sides of the square matrices; the fastest product is the peak. On a CPU, larger ones take seconds and are no faster.
SIDES = {"cpu": (768, 1536), "cuda": (4096, 8192)}
# Products per size: the fastest of a few varies little.
REPEATS = 6
# Seconds after which no further product of a size is started: on a slow CPU a single one may take longer.
LONGEST = 0.25


def matrix_peak(device: torch.device, precision: str) -> float:
    """Return the TFLOP/s of the fastest product of two square matrices, on the threads of this process."""
    peak = 0.0
    for side in SIDES.get(device.type, SIDES["cpu"]):
        left = torch.ones(side, side, device=device, dtype=DTYPES[precision])
        started = time.perf_counter()
        for _ in range(REPEATS):
            before = time.perf_counter()
            torch.mm(left, left)
            synchronize(device)
            peak = max(peak, 2 * side**3 / (time.perf_counter() - before) / 1e12)
            if time.perf_counter() - started > LONGEST:
                break
    return peak
