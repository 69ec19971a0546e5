"""SIGTERM and SIGINT: a run that trains finishes its step and saves; before that there is nothing to save.

Schedulers send SIGTERM before they take a machine away, a user presses Ctrl-C. A second SIGINT ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

from zoo.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Launchers pass a terminal's SIGINT on to processes that have got it already: so soon, it is the same one.
SAME_SECONDS = 1.0
# Launchers kill what has not ended after 30 seconds.
GRACE_SECONDS = 10.0


class _State:
    """What this process has received; there is one, as there is one set of signal handlers."""

    name = ""
    received_at = 0.0
    deferred = False
    training = False


_state = _State()


def install() -> None:
    """Answer SIGTERM and SIGINT from now on: with `Stopped`, raised at once, until `defer` is called.

    Call it in the main thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _state.name, _state.deferred, _state.training = "", False, False
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # The main thread may be inside a long product, where no handler of Python's runs: a thread sees signals at once.
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def defer() -> None:
    """From now on a signal is only noted; whoever trains asks `requested` after each step.

    Raises:
        Stopped: one came just before.
    """
    _state.deferred = _state.training = True
    if _state.name:
        raise _early()


def requested() -> str:
    """The name of the signal that asks this process to stop, '' where none does."""
    return _state.name


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _note(number)
    if not _state.deferred:
        _state.deferred = True  # what is raised now must be able to clean up
        raise _early()


def _early() -> Stopped:
    return Stopped(_state.name, "before training began", "nothing was trained: start it again")


def _note(number: int) -> None:
    if not _state.name:
        _state.name, _state.received_at = signal.Signals(number).name, time.monotonic()


def _watch(reader: int) -> None:
    first = True
    while received := os.read(reader, 1):
        number = received[0]
        if number not in SIGNALS:
            continue
        again = _state.name and time.monotonic() - _state.received_at > SAME_SECONDS
        if number == signal.SIGINT and again:
            os._exit(130)
        if first:
            threading.Thread(target=_leave, daemon=True).start()
        first = False
        _note(number)


def _leave() -> None:
    """End a process that is still being set up after the grace: it waits in C code for others, which are gone already."""
    time.sleep(GRACE_SECONDS)
    if not _state.training:
        if not _state.deferred and os.environ.get("RANK", "0") == "0":
            print(_early(), file=sys.stderr, flush=True)  # noqa: T201
        os._exit(Stopped.exit_code)
