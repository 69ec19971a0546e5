"""Measure the time that several processes take at the start of a run, on this machine.

    python benchmarks/processes.py open --gigabytes 2      seconds to open and verify a pixel store, by number of processes

The numbers of processes take turns for `--rounds` rounds. All open the same store, and each time every byte is verified.
Processes open it as in a run: the first one of the machine, then the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# Side in pixels of the images in the store.
SIDE = 256
KEY = "benchmark"


def main() -> None:
    """Run the comparison, or act as one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["open"])
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the store (2)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="(1 2 4)")
    parser.add_argument("--rounds", type=int, default=5, help="for each number of processes (5)")
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_worker:
        open_as_a_run_does()
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Print the median seconds for each number of processes, and their ratio to those for the first number."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"ZOO_CACHE": cache, "ZOO_CACHE_LIMIT": "100G", "ACCELERATE_USE_CPU": "true"}
        make_store(options.gigabytes)
        seconds: dict[int, list[float]] = {count: [] for count in options.processes}
        for _ in range(options.rounds):
            for count, found in seconds.items():
                found.append(seconds_of(count))
        one = statistics.median(seconds[options.processes[0]])
        for count, found in seconds.items():
            middle = statistics.median(found)
            rounds = ", ".join(f"{each:.2f}" for each in found)
            print(f"{count} processes: {middle:.2f} s ({rounds}), {middle / one:.2f} of {options.processes[0]}")


def make_store(gigabytes: float) -> None:
    """Write a store of random images into the cache."""
    from zoo.data import pixel_store
    from zoo.data.pixel_store import PixelStore

    images = np.random.default_rng(0).integers(0, 256, (round(gigabytes * 1e9 / (3 * SIDE**2)), 3, SIDE, SIDE), dtype=np.uint8)
    pixel_store.stored(KEY, lambda folder: pixel_store.write(folder, PixelStore.square(images), "random images"))


def seconds_of(count: int) -> float:
    """Return the seconds from when all processes have met until the last one has opened the store."""
    launcher = [str(Path(sys.executable).with_name("torchrun")), "--nproc_per_node", str(count)]
    command = [*launcher, __file__, "open", "--as-worker"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split()[-1])


def open_as_a_run_does() -> None:
    """Meet the other processes and open the store; the main process prints the seconds of the slowest one."""
    from accelerate.utils import gather_object
    from torch import distributed

    from zoo.data import pixel_store
    from zoo.system import launch
    from zoo.training import processes

    def fail(folder: Path) -> None:
        sys.exit(f"{folder} is damaged")

    start = launch.read()
    processes.meet(start, 60)
    if start.processes > 1:
        distributed.barrier()
    began = time.perf_counter()
    processes.in_turns(start, lambda: pixel_store.stored(KEY, fail))
    taken = time.perf_counter() - began
    slowest = max(gather_object([taken])) if start.processes > 1 else taken
    if start.main:
        print(slowest)
    processes.leave()


if __name__ == "__main__":
    main()
