"""Lock files: one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.errors import ZooError


def lock_file(path: Path, where: str) -> IO[str]:
    """Open a lock file and take its lock, which the system drops when the process ends, however it ends."""
    try:
        handle = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise ZooError(str(path.parent), f"not writable: {error.strerror}", "start a new run elsewhere") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read() or "another process"
        handle.close()
        raise ZooError(where, f"{path.parent} in use by {holder}", "wait for it or stop it") from None
    except OSError as error:  # some network file systems
        handle.close()
        what = f"files cannot be locked: {error.strerror}"
        raise ZooError(str(path.parent), what, "choose a folder on a local disk") from None
    return handle


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that one process of several makes a thing and the others find it made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "w")  # noqa: SIM115
    except OSError as error:
        raise ZooError(str(path.parent), f"not writable: {error.strerror}", "set ZOO_CACHE to another folder") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems
            what = f"files cannot be locked: {error.strerror}"
            raise ZooError(str(path.parent), what, "set ZOO_CACHE to a folder on a local disk") from None
        yield
