"""Run a function in worker processes, so that a crash, an out-of-memory kill or a hang affects nothing else.

`run` starts the processes and receives what the first of them sends; with `Workers`, several calls run at the same time. The
second half of the file runs inside a worker.
If it is safe, workers are forked from a server that has imported the libraries and started no thread, which saves each worker
the seconds of importing. Nothing here imports torch.
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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from zoo.errors import ZooError, first_line
from zoo.system.memory import lacks_memory

# Environment variables of a launcher or the user's shell that must not reach a worker, which gets its own.
LAUNCH_VARIABLES = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "ACCELERATE_MIXED_PRECISION",
)
# Paths that exist where a GPU has a driver: NVIDIA's, AMD's, Windows' own under WSL.
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# Seconds for a worker that has reported success to exit by itself, before it is killed.
LEAVE_SECONDS = 2.0
# Maximum seconds of one wait for a message: the system's limit is 24 days, and a timeout may be longer.
LONGEST_WAIT = 3600.0
# Seconds to wait for the exit code of a worker whose link has closed.
EXIT_SECONDS = 5.0
# Seconds to wait for the exit code of a worker that may have been killed, while another one reports an error.
PEEK_SECONDS = 0.2
# The signals that ask a process to end; the fork server blocks them, and its workers unblock them.
STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
# Maximum length of a process's name on Linux, in letters (proc(5)).
TITLE_LETTERS = 15


@dataclass(frozen=True)
class WorkerCall:
    """A function to call in a worker process.

    Attributes:
        target: `module:function`; the function is called as `function(arguments, send)`. `send` takes a dictionary of results
            and passes it to the `receive` of `run` at once, so that it is kept even if the worker fails later.
        arguments: its arguments, which must be picklable.
        title: the name of the process, as `top` shows it.
        log: a file to which the output of the process is appended; '' for none.
        variables: environment variables that the process gets in addition to those of this one.
    """

    target: str
    arguments: Mapping[str, Any]
    title: str
    log: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The end of a call.

    Attributes:
        status: ok, oom (no memory), failed (an exception or an exit code), killed (by a signal) or timeout.
        error: the reason in one line, '' if the status is ok.
    """

    status: str
    error: str = ""


def run(work: WorkerCall, receive: Callable[[dict[str, Any]], None], *, processes: int = 1, timeout: float = 600.0) -> Outcome:
    """Call a function in one process, or in several with the environment variables that torch's launchers set.

    Args:
        work: the function and its arguments.
        receive: called with each dictionary that the first process sends.
        processes: the number of processes.
        timeout: seconds until the processes are killed.
    """
    deadline = time.monotonic() + timeout
    with Workers(work, receive, processes) as started:
        while (outcome := started.outcome) is None:
            left = deadline - time.monotonic()
            ready = wait(started.links, timeout=max(0.0, min(left, LONGEST_WAIT)))
            if not ready and left <= LONGEST_WAIT:
                return Outcome("timeout", f"not done within {timeout:g} s")
            started.hear(ready)
        return outcome


class Workers:
    """The started processes of one call; as a context manager, it kills the remaining ones on exit.

    Several calls may run at the same time: wait for the `links` of all of them (`multiprocessing.connection.wait`), and pass
    the ready ones to the `hear` of each.

    Attributes:
        outcome: the end of the call; None until it is known.
    """

    def __init__(self, work: WorkerCall, receive: Callable[[dict[str, Any]], None], processes: int = 1) -> None:
        self.outcome: Outcome | None = None
        self._receive = receive
        self._workers: dict[Connection, Any] = {}
        self._done: set[Connection] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="zoo-worker-")
        self._log = Path(work.log or f"{self._folder.name}/output")
        context = _context(work.target.partition(":")[0])
        try:
            port = _free_port() if processes > 1 else 0
            for rank in range(processes):
                ours, theirs = context.Pipe()
                variables = {**work.variables, **_variables(rank, processes, port)}
                worker = context.Process(target=_enter, args=(work, variables, theirs, str(self._log)), daemon=False)
                worker.start()
                theirs.close()
                self._workers[ours] = worker
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def links(self) -> list[Connection]:
        """Return the links of the processes that are not done."""
        return [link for link in self._workers if link not in self._done]

    def hear(self, ready: Iterable[Any]) -> None:
        """Receive from ready links, except links of other calls; set `outcome` if the first process is done or any fails."""
        for link in ready:
            if link in self._workers and self.outcome is None:
                self.outcome = self._heard(link)

    def _heard(self, link: Connection) -> Outcome | None:
        """Receive a message; return the outcome of the call if the message decides it, else None."""
        try:
            kind, value = link.recv()
        except (EOFError, OSError):
            return _exit_outcome(self._workers[link], self._log)
        if kind == "result":
            self._receive(value)
            return None
        if value.status != "ok":
            return _root_cause(value, self._workers)
        self._workers[link].join(LEAVE_SECONDS)
        self._done.add(link)
        return value if link is next(iter(self._workers)) else None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the processes, which may still report."""
        for worker in self._workers.values():
            # Not by `terminate`, which sends nothing once the fork server is gone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)

    def close(self) -> None:
        """Kill the processes and all processes that they have started."""
        for link, worker in self._workers.items():
            _end(worker)
            link.close()
        self._folder.cleanup()


def _context(module: str) -> Any:
    """Return the multiprocessing context: processes are forked from a server if that is safe, else spawned.

    A process that has used a GPU's driver must not be forked, so with a GPU every process is spawned and imports by itself.
    """
    import multiprocessing
    from multiprocessing import forkserver, resource_tracker

    gpu = any(Path(path).exists() for path in GPU_DRIVERS)
    if sys.platform != "linux" or gpu:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # numpy's own BLAS would start threads when it is imported. Nothing that is measured uses it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A killed process leaves locks behind; Python's own tracker removes them, and would print a warning.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    context.set_forkserver_preload([module])
    # The server gets Ctrl-C from a terminal and SIGTERM from a scheduler too, but must not end while workers are needed: it
    # ends with this process. Start the tracker, which the server needs, first: starting it unblocks signals again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """Return the environment variables of one of several processes; empty for a single process."""
    if processes == 1:
        return {}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    return {name: str(value) for name, value in ranks.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def _free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _root_cause(outcome: Outcome, links: Mapping[Connection, Any]) -> Outcome:
    """Return the root cause of a reported outcome: if a worker was killed, the others only report that it is gone."""
    for worker in links.values() if len(links) > 1 else ():
        worker.join(PEEK_SECONDS)
        if (worker.exitcode or 0) < 0:
            return _exit_outcome(worker, None)
    return outcome


def _exit_outcome(worker: Any, log: Path | None) -> Outcome:
    """Return the outcome of a process that ended without reporting one: its signal, or its exit code and last line."""
    worker.join(EXIT_SECONDS)
    code = worker.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return Outcome("killed", f"killed by {name}" + (" (not enough memory?)" if name == "SIGKILL" else ""))
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log and log.exists() else []
    printed = [line.strip() for line in lines if line.strip()]
    return Outcome("failed", f"exit code {code}" + (f": {printed[-1]}" if printed else ""))


def _end(worker: Any) -> None:
    """Kill a process and all processes that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, AttributeError):
        worker.kill()
    worker.join()


# ------------------------------------------------------------------------------ in the process


def _enter(work: WorkerCall, variables: Mapping[str, str], link: Connection, log: str) -> None:
    """Call the function, and report its results and its outcome through the link."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=_end_with, args=(link,), daemon=True).start()
    # Keep the output of libraries, in case the process ends without reporting an outcome.
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666 if work.log else 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in os.environ if name in LAUNCH_VARIABLES or name.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    os.environ.update(variables)
    _set_process_title(work.title)
    reports = variables.get("RANK", "0") == "0"
    try:
        module, _, function = work.target.partition(":")
        target = getattr(importlib.import_module(module), function)
        target(dict(work.arguments), lambda results: link.send(("result", results)) if reports else None)
    except BaseException as error:
        link.send(("end", outcome_of(error)))
    else:
        link.send(("end", Outcome("ok")))


def _end_with(link: Connection) -> None:
    """Wait until the other end of the link closes, as it does when the parent ends; then end too."""
    with contextlib.suppress(OSError, EOFError):
        link.poll(None)
    os.killpg(0, signal.SIGKILL)


def _set_process_title(title: str) -> None:
    """Set the name of this process that `top` shows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(title[:TITLE_LETTERS], encoding="utf-8")


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome for an exception: oom if memory was full, else failed, with one line of its text."""
    cause: BaseException | None = error
    while cause is not None:
        # Check the causes too: the error of a model that could not be built does not give the reason.
        if lacks_memory(cause):
            return Outcome("oom", first_line(cause) if str(cause).strip() else "out of memory")
        cause = cause.__context__
    text, kind = first_line(error), type(error).__name__
    return Outcome("failed", text if isinstance(error, ZooError) or text == kind else f"{kind}: {text}")
