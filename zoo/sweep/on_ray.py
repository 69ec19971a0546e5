"""Runs in progress on a Ray cluster that the user has, in the same folder: all machines see one file system.

A task of the cluster starts its run in a process of its own, as on this machine, and ends it when the task ends.
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

# Seconds between two looks of a task at its run.
POLL_SECONDS = 0.5
# How a user gets a cluster.
START = "on one machine: ray start --head; on each other one: ray start --address=HOST:6379; or set RAY_ADDRESS"


class RayPool:
    """Runs in progress on a cluster.

    Args:
        jobs: runs at a time; None for as many as the cluster has room for.
        timeout: seconds that a run may take in one go; None for any.
        threads: the smallest `train.threads` of the runs; None where a run leaves it open.

    Raises:
        ZooError: ray is not installed, or there is no cluster.
    """

    def __init__(self, jobs: int | None, timeout: float | None, threads: int | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ZooError("--on", "ray is not installed", "pip install 'zoo-trainer[ray]'")
        # Any: the package is not there where types are checked.
        self._ray: Any = importlib.import_module("ray")
        with _own_signals():
            try:
                self._ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError:
                raise ZooError("--on", "no Ray cluster is running", START) from None
        self.timeout = timeout
        resources = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        # A head may be there to manage only, with no core for tasks.
        nodes = [(int(each["CPU"]), int(each.get("GPU", 0))) for each in resources if each.get("CPU", 0) >= 1]
        self._smallest = min((cores for cores, _ in nodes), default=1)
        self._gpus = any(gpus for _, gpus in nodes)
        self._task = self._ray.remote(max_retries=0)(train_in_task)
        self._begun: dict[Any, Run] = {}
        self.jobs = jobs or room(nodes, threads or self._smallest)

    @property
    def running(self) -> list[Run]:
        """The runs that were handed to the cluster, in the order in which they were."""
        return list(self._begun.values())

    def start(self, run: Run, until_epoch: int | None) -> None:
        """Hand a run to the cluster, which pauses after an epoch if one is given.

        It asks for the threads of its recipe, else for all cores of the smallest machine.
        """
        threads = run.trainable.train.threads
        cores = threads if isinstance(threads, int) else self._smallest
        options = {"num_cpus": cores, "num_gpus": 1 if self._gpus else 0, "name": run.name}
        reference = self._task.options(**options).remote(run, until_epoch, self.timeout, str(Path.cwd()))
        self._begun[reference] = run

    def wait(self, seconds: float) -> list[Ended]:
        """Wait until runs end, at most so long, and return them."""
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
        """Ask all runs to stop after their step, with a checkpoint; `wait` returns them then."""
        for reference in self._begun:
            self._ray.cancel(reference)

    def close(self) -> None:
        """End the runs that are left at once, and leave the cluster."""
        for reference in self._begun:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._begun.clear()
        self._ray.shutdown()


def room(nodes: Sequence[tuple[int, int]], asked: int) -> int:
    """Return how many runs of so many cores, and of a GPU each where there are any, fit on nodes of (cores, GPUs); at least one.

    Ray itself lets those wait for which there is no room yet.
    """
    with_gpus = any(gpus for _, gpus in nodes)
    return max(1, sum(min(cores // asked, gpus) if with_gpus else cores // asked for cores, gpus in nodes))


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers of signals: ray sets its own, which end the process."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_in_task(run: Run, until_epoch: int | None, timeout: float | None, place: str) -> Ended:
    """Train a run in a process of its own, from within a task of the cluster; a task that is cancelled stops in order.

    Args:
        run: the run.
        until_epoch: the epoch after which it pauses, None for its end.
        timeout: seconds that it may take; None for any.
        place: the current folder of the sweep, from which relative paths are taken.
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
                # What `ray.cancel` raises in a task.
                pool.ask_to_stop()
    finally:
        pool.close()
