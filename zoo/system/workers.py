"""Work in processes of its own: what becomes of it (a crash, no memory, no end) becomes of nothing else.

Where it is safe, the processes are forked from a server that has imported the libraries and started no thread,
which saves each of them the seconds of importing. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

# What a launcher or the user's shell says about siblings and precision; the work is told its own.
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "ACCELERATE_MIXED_PRECISION")
# How allocators say that there is no memory: torch's for CPUs and GPUs, C++, oneDNN.
NO_MEMORY = ("out of memory", "allocate memory", "bad_alloc", "not enough memory", "failed to allocate", "cannot allocate")


@dataclass(frozen=True)
class WorkerCall:
    """What to do: `target` is `module:function`, called with `arguments` and a function that takes what it finds out."""

    target: str
    arguments: Mapping[str, Any]
    title: str


@dataclass(frozen=True)
class Outcome:
    """How it ended: `status` is ok, oom, failed, killed or timeout; `error` says more in one line."""

    status: str
    error: str = ""


def run(work: WorkerCall, heard: Callable[[dict[str, Any]], None], *, processes: int = 1, timeout: float = 600.0) -> Outcome:
    """Do some work in one process, or in several that know of each other as torch's launchers would have them.

    Args:
        work: what to do.
        heard: gets what the first process has found out so far, each time it says something.
        processes: how many there are.
        timeout: seconds until they are killed.
    """
    context = _context(work.target.partition(":")[0])
    links: dict[Connection, Any] = {}
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder:
        log = Path(folder) / "output"
        try:
            port = _free_port() if processes > 1 else 0
            for rank in range(processes):
                ours, theirs = context.Pipe()
                worker = context.Process(
                    target=_enter, args=(work, _variables(rank, processes, port), theirs, str(log)), daemon=False
                )
                worker.start()
                theirs.close()
                links[ours] = worker
            return _listen(links, heard, time.monotonic() + timeout, timeout, log)
        finally:
            for link, worker in links.items():
                _end(worker)
                link.close()


def _context(module: str) -> Any:
    """How processes are started: forked from a server where that is safe, else from nothing.

    A GPU's driver must not be forked once it was asked for anything, so there every process imports for itself.
    """
    import multiprocessing

    gpu = any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
    if sys.platform != "linux" or gpu:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # numpy's own BLAS would start threads as it is imported. Nothing that is measured uses it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A process that is killed leaves locks behind; Python's own tracker removes them, and need not speak of it.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    context.set_forkserver_preload([module])
    return context


def _variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """The environment of one process of several; empty for one alone."""
    if processes == 1:
        return {}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    return {name: str(value) for name, value in ranks.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listen(
    links: dict[Connection, Any], heard: Callable[[dict[str, Any]], None], deadline: float, timeout: float, log: Path
) -> Outcome:
    """Hear what the processes say until the first one is done, any one fails, or time is up."""
    first, done = next(iter(links)), set()
    while first not in done:
        waiting = [link for link in links if link not in done]
        ready = wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            return Outcome("timeout", f"not done within {timeout:g} s")
        for link in ready:
            assert isinstance(link, Connection)
            try:
                kind, value = link.recv()
            except (EOFError, OSError):
                return _exit_outcome(links[link], log)
            if kind == "found":
                heard(value)
            elif value.status != "ok":
                return _root_cause(value, links)
            else:
                links[link].join(2)
                done.add(link)
    return Outcome("ok")


def _root_cause(outcome: Outcome, links: Mapping[Connection, Any]) -> Outcome:
    """What really happened: where one of several processes was killed, the others only say that it is gone."""
    for worker in links.values() if len(links) > 1 else ():
        worker.join(0.2)
        if (worker.exitcode or 0) < 0:
            return _exit_outcome(worker, None)
    return outcome


def _exit_outcome(worker: Any, log: Path | None) -> Outcome:
    """What to say of a process that ended without a word."""
    worker.join(5)
    code = worker.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return Outcome("killed", f"killed by {name}" + (" (not enough memory?)" if name == "SIGKILL" else ""))
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log and log.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return Outcome("failed", f"exit code {code}" + (f": {said[-1]}" if said else ""))


def _end(worker: Any) -> None:
    """End a process and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, AttributeError):
        worker.kill()
    worker.join()


# ------------------------------------------------------------------------------ in the process


def _enter(work: WorkerCall, variables: Mapping[str, str], link: Connection, log: str) -> None:
    """Do the work and say how it ended."""
    os.setsid()
    threading.Thread(target=_end_with, args=(link,), daemon=True).start()
    # What libraries print is kept for the case that the process ends without a word.
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in os.environ if name in LAUNCHER or name.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    os.environ.update(variables)
    _set_process_title(work.title)
    speaks = variables.get("RANK", "0") == "0"
    try:
        module, _, function = work.target.partition(":")
        target = getattr(importlib.import_module(module), function)
        target(dict(work.arguments), lambda found: link.send(("found", found)) if speaks else None)
    except BaseException as error:
        link.send(("end", outcome_of(error)))
    else:
        link.send(("end", Outcome("ok")))


def _end_with(link: Connection) -> None:
    """Wait for the other end of the link to close, which it does when that process ends, and end too."""
    with contextlib.suppress(OSError, EOFError):
        link.poll(None)
    os.killpg(0, signal.SIGKILL)


def _set_process_title(title: str) -> None:
    """Show in `top` what is being measured."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(title[:15], encoding="utf-8")


def outcome_of(error: BaseException) -> Outcome:
    """What an exception says in one line, and whether there was no memory."""
    cause: BaseException | None = error
    while cause is not None:
        # Where building a model fails for want of memory, what is raised says that it fails, and not why.
        if _lacks_memory(cause):
            return Outcome("oom", _first_line(cause) or "out of memory")
        cause = cause.__context__
    text, kind = _first_line(error), type(error).__name__
    return Outcome("failed", text if kind == "ZooError" else f"{kind}: {text}" if text else kind)


def _lacks_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
