"""Train the runs of a sweep on an existing Ray cluster, whose machines must share one file system.

Each Ray task starts its run in a separate process, as on this machine, and ends the process when the task ends.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.sweep.grid import Run
from zoo.sweep.pool import Ended, LocalPool
from zoo.system import signals
from zoo.system.workers import Outcome

# Seconds between two checks of a task on its run.
POLL_SECONDS = 0.5
# Instructions for starting a cluster.
START = "on one machine: ray start --head; on every other machine: ray start --address=HOST:6379; or set RAY_ADDRESS"


class RayPool:
    """Runs in progress on a cluster.

    Args:
        jobs: runs at a time; None for as many as the cluster has room for.
        timeout: maximum seconds per process of a run; None for no limit.
        threads: smallest `train.threads` of the runs; None if a run says `auto`.

    Raises:
        ZooError: ray is not installed, or there is no cluster.
    """

    def __init__(self, jobs: int | None, timeout: float | None, threads: int | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ZooError("--on", "ray is not installed", "pip install 'zoo-trainer[ray]'")
        # Any: ray is not installed where types are checked.
        self._ray: Any = importlib.import_module("ray")
        with _own_signals():
            try:
                self._ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError:
                raise ZooError("--on", "no Ray cluster is running", START) from None
        self.timeout = timeout
        resources = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        # A head node may only manage the cluster, with no cores for tasks.
        nodes = [(int(each["CPU"]), int(each.get("GPU", 0))) for each in resources if each.get("CPU", 0) >= 1]
        self._smallest = min((cores for cores, _ in nodes), default=1)
        self._gpus = any(gpus for _, gpus in nodes)
        self._task = self._ray.remote(max_retries=0)(train_in_task)
        self._begun: dict[Any, Run] = {}
        self.jobs = jobs or room(nodes, threads or self._smallest)

    @property
    def running(self) -> list[Run]:
        """The runs that were submitted to the cluster, in order of submission."""
        return list(self._begun.values())

    def start(self, run: Run, until_epoch: int | None) -> None:
        """Submit a run to the cluster; it pauses after `until_epoch` if given.

        The task requests the threads of its recipe, or all cores of the smallest machine.
        """
        threads = run.trainable.train.threads
        cores = threads if isinstance(threads, int) else self._smallest
        options = {"num_cpus": cores, "num_gpus": 1 if self._gpus else 0, "name": run.name}
        reference = self._task.options(**options).remote(run, until_epoch, self.timeout, str(Path.cwd()))
        self._begun[reference] = run

    def wait(self, seconds: float) -> list[Ended]:
        """Wait until a run ends, for at most `seconds`, and return the runs that ended."""
        ready, _ = self._ray.wait(list(self._begun), num_returns=1, timeout=seconds)
        ended = []
        for reference in ready:
            run = self._begun.pop(reference)
            try:
                ended.append(self._ray.get(reference))
            except (self._ray.exceptions.TaskCancelledError, KeyboardInterrupt):
                ended.append(Ended(run, Outcome("ok"), "stopped before it began", 0.0))
            except self._ray.exceptions.RayError as error:
                what = next(iter(str(error).splitlines()), type(error).__name__)
                ended.append(Ended(run, Outcome("killed", f"its task on the cluster ended: {what}"), "", 0.0))
        return ended

    def ask_to_stop(self) -> None:
        """Ask all runs to write a checkpoint and stop after the current step; `wait` then returns them."""
        for reference in self._begun:
            self._ray.cancel(reference)

    def close(self) -> None:
        """End the remaining runs at once, and disconnect from the cluster."""
        for reference in self._begun:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._begun.clear()
        self._ray.shutdown()


def room(nodes: Sequence[tuple[int, int]], asked: int) -> int:
    """Return how many runs fit on nodes of (cores, GPUs), at least one.

    Each run takes `asked` cores, and one GPU if any node has one. Ray queues the runs for which there is no room yet.
    """
    with_gpus = any(gpus for _, gpus in nodes)
    return max(1, sum(min(cores // asked, gpus) if with_gpus else cores // asked for cores, gpus in nodes))


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Restore this process's signal handlers on exit, because ray installs its own, which end the process."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_in_task(run: Run, until_epoch: int | None, timeout: float | None, place: str) -> Ended:
    """Train a run in a separate process from within a Ray task; a cancelled task stops its run with a checkpoint.

    Args:
        run: the run.
        until_epoch: the epoch after which it pauses; None to train to the end.
        timeout: maximum seconds; None for no limit.
        place: working directory of the sweep, to which paths are relative.
    """
    os.chdir(place)
    pool = LocalPool(timeout=timeout)
    pool.start(run, until_epoch)
    try:
        while True:
            try:
                for ended in pool.wait(POLL_SECONDS):
                    return ended
            except KeyboardInterrupt:
                # `ray.cancel` raises this in the task.
                pool.ask_to_stop()
    finally:
        pool.close()
