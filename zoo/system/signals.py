"""Handle SIGTERM and SIGINT: a run that trains finishes its step and saves; before training there is nothing to save.

Schedulers send SIGTERM before they take a machine away; Ctrl-C sends SIGINT. A second SIGINT ends the process at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from zoo.errors import Stopped

# The signals that ask a run to stop.
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds within which two SIGINTs count as one: a terminal sends it to all processes, and launchers pass it on once more.
SAME_SECONDS = 1.0
# Seconds after which a process that is still being set up is ended; launchers kill processes after 30.
GRACE_SECONDS = 10.0
# Exit code of a process that a second Ctrl-C ends: 128 plus the number of SIGINT, as in shells.
INTERRUPTED = 130


class _State:
    """The signals of this process. There is one state, as there is one set of signal handlers.

    Attributes:
        name: name of the first signal received, or ''.
        received_at: time of that signal, in seconds of the monotonic clock.
        deferred: whether signals are only noted and raise nothing.
        training: whether training has begun or is about to; the training loop checks `requested`.
    """

    name = ""
    received_at = 0.0
    deferred = False
    training = False


_state = _State()


def install() -> None:
    """Raise `Stopped` at a SIGTERM or SIGINT from now on, until `defer` is called. Call this in the main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _state.name, _state.deferred, _state.training = "", False, False
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # Python runs no handler while the main thread is in C code (a long matrix product); a second thread sees signals at once.
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def defer() -> None:
    """Only note signals from now on; the training loop checks `requested` after each step.

    Raises:
        Stopped: a signal came before this call.
    """
    _state.deferred = _state.training = True
    if _state.name:
        raise _early()


def requested() -> str:
    """Return the name of the signal that asks this process to stop, '' if there was none."""
    return _state.name


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C within the block."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread, which alone can set signal handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C within a block that can be started again, and turn both into an exit code of their own.

    Raises:
        Stopped: a signal interrupted the block, and the block did not raise a more precise one.
    """
    with interruptible():
        try:
            yield
        except Stopped:
            raise
        except KeyboardInterrupt:
            raise Stopped("a signal", "before anything was measured", "the same command starts again") from None


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Handle a signal in the main thread."""
    _note(number)
    if not _state.deferred:
        _state.deferred = True  # a second signal must not interrupt the cleanup after this one
        raise _early()


def _early() -> Stopped:
    """Return the error of a run that is stopped before its first step."""
    return Stopped(_state.name, "before training began", "nothing was trained: start it again")


def _note(number: int) -> None:
    """Remember the first signal and its time."""
    if not _state.name:
        _state.name, _state.received_at = signal.Signals(number).name, time.monotonic()


def _watch(reader: int) -> None:
    """Read signal numbers from a pipe, in a thread: end the process at a second Ctrl-C, or after the grace period."""
    first = True
    while received := os.read(reader, 1):
        number = received[0]
        if number not in SIGNALS:
            continue
        again = _state.name and time.monotonic() - _state.received_at > SAME_SECONDS
        if number == signal.SIGINT and again:
            os._exit(INTERRUPTED)
        if first:
            threading.Thread(target=_leave, daemon=True).start()
        first = False
        _note(number)


def _leave() -> None:
    """End this process after the grace period if it is still being set up: it waits in C code for processes that are gone."""
    time.sleep(GRACE_SECONDS)
    if not _state.training:
        if not _state.deferred and os.environ.get("RANK", "0") == "0":
            print(_early(), file=sys.stderr, flush=True)  # noqa: T201
        os._exit(Stopped.exit_code)
