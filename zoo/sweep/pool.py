"""Train runs side by side, each in its own process on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol

from zoo.sweep.folder import LOGS
from zoo.sweep.grid import Run
from zoo.system.hardware import GPUS, visible_gpus
from zoo.system.workers import Outcome, WorkerCall, Workers

# The function that trains a run in its process.
TARGET = "zoo.sweep.one_run:train_run"


@dataclass(frozen=True)
class Ended:
    """A run whose process has ended.

    Attributes:
        run: the run.
        outcome: outcome of its process.
        stopped: the message of a run that was stopped by a signal, else ''.
        seconds: seconds from the start of its process to its end.
    """

    run: Run
    outcome: Outcome
    stopped: str
    seconds: float


class Pool(Protocol):
    """Runs in progress: `LocalPool` on this machine, `RayPool` on a cluster."""

    jobs: int

    @property
    def running(self) -> list[Run]:
        """The runs in progress, in the order in which they were started."""
        ...

    def start(self, run: Run, until_epoch: int | None) -> None:
        """Start a run; it pauses after `until_epoch` if given."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """Wait until a run ends, for at most `seconds`, and return the runs that ended."""
        ...

    def ask_to_stop(self) -> None:
        """Ask all runs to write a checkpoint and stop after the current step; `wait` then returns them."""
        ...

    def close(self) -> None:
        """End the remaining runs at once."""
        ...


@dataclass
class _Begun:
    """A run in progress."""

    run: Run
    workers: Workers
    facts: dict[str, Any]
    gpu: str = ""
    started: float = field(default_factory=time.monotonic)


class LocalPool:
    """Runs in progress on this machine; if several run at a time, each gets the GPU that has the fewest runs.

    Args:
        jobs: runs at a time.
        timeout: maximum seconds per process of a run; None for no limit.
    """

    def __init__(self, jobs: int = 1, timeout: float | None = None) -> None:
        self.jobs, self.timeout = jobs, timeout
        self._begun: dict[str, _Begun] = {}
        self._gpus = visible_gpus() if jobs > 1 else []

    @property
    def running(self) -> list[Run]:
        """The runs in progress, in the order in which they were started."""
        return [begun.run for begun in self._begun.values()]

    def start(self, run: Run, until_epoch: int | None) -> None:
        """Start a run; it pauses after `until_epoch` if given."""
        logs = run.trainable.output.root / LOGS
        logs.mkdir(exist_ok=True)
        arguments = {"recipe": run.trainable, "until_epoch": until_epoch, "lock": str(logs / f".{run.name}.lock")}
        facts: dict[str, Any] = {}
        used = [begun.gpu for begun in self._begun.values()]
        gpu = min(self._gpus, key=used.count, default="")
        variables = {GPUS: gpu} if gpu else {}
        call = WorkerCall(TARGET, arguments, f"zoo {run.name}", str(logs / f"{run.name}.log"), variables)
        self._begun[run.name] = _Begun(run, Workers(call, facts.update), facts, gpu)

    def wait(self, seconds: float) -> list[Ended]:
        """Wait until a run ends, for at most `seconds`, and return the runs that ended."""
        links = [link for begun in self._begun.values() for link in begun.workers.links]
        ready = wait(links, timeout=seconds)
        ended = []
        for begun in list(self._begun.values()):
            begun.workers.hear(ready)
            outcome, taken = begun.workers.outcome, time.monotonic() - begun.started
            if outcome is None and self.timeout is not None and taken > self.timeout:
                outcome = Outcome("timeout", f"not done within {self.timeout:g} s")
            if outcome is not None:
                ended.append(Ended(begun.run, outcome, begun.facts.get("stopped", ""), taken))
                self._begun.pop(begun.run.name).workers.close()
        return ended

    def ask_to_stop(self) -> None:
        """Ask all runs to write a checkpoint and stop after the current step; `wait` then returns them."""
        for begun in self._begun.values():
            begun.workers.ask_to_stop()

    def close(self) -> None:
        """End the remaining runs at once."""
        for begun in self._begun.values():
            begun.workers.close()
        self._begun.clear()
