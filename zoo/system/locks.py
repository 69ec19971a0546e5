"""Lock files: one process at a time. The system releases a lock when its process ends for any reason."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.errors import ZooError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for a lock file of the cache and hold it, so that one of several processes makes a file and the others find it.

    Raises:
        ZooError: the folder cannot be written, or does not support locks.
    """
    with _cache_lock(path, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """Wait until no process holds a lock file of the cache exclusively, then share it; several processes may share it.

    Raises:
        ZooError: the folder cannot be written, or does not support locks.
    """
    with _cache_lock(path, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _cache_lock(path: Path, kind: int) -> Iterator[None]:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _open(path, "set ZOO_CACHE to another folder") as handle:
        _take(handle, path, kind, "set ZOO_CACHE to a folder on a local disk")
        yield


@contextlib.contextmanager
def held(path: Path, where: str) -> Iterator[None]:
    """Hold a lock file while this process works in its folder, or refuse at once if another one does.

    Args:
        path: the lock file; it names its holder, and is removed afterwards.
        where: the flag that an error names.

    Raises:
        ZooError: another process holds it, or the folder cannot be written.
    """
    with _open(path, "start a new run elsewhere") as handle:
        try:
            _take(handle, path, fcntl.LOCK_EX | fcntl.LOCK_NB, "choose a folder on a local disk")
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read() or "another process"
            raise ZooError(where, f"{path.parent} in use by {holder}", "wait for it or stop it") from None
        # The text only names the holder: on a full disk, the lock holds without it.
        with contextlib.suppress(OSError):
            os.truncate(handle.fileno(), 0)
            os.write(handle.fileno(), f"pid {os.getpid()} on {platform.node()}".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


class Share:
    """A mark that an existing file is in use, until this object is deleted; several processes may have one.

    A file that cannot be opened or locked is not marked.
    """

    def __init__(self, path: Path) -> None:
        self._handle: int | None = None
        with contextlib.suppress(OSError):
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def __del__(self) -> None:
        """Drop the lock."""
        if self._handle is not None:
            os.close(self._handle)


@contextlib.contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Yield whether no other process holds or shares a file's lock; if so, hold it within the block. Do not wait."""
    with _open_existing(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _open_existing(path: Path) -> IO[str]:
    try:
        return open(path, "r+", encoding="utf-8")  # NFS grants exclusive locks to writers only
    except PermissionError:
        return open(path, encoding="utf-8")


def _open(path: Path, todo: str) -> IO[str]:
    try:
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise ZooError(str(path.parent), f"not writable: {error.strerror}", todo) from None


def _take(handle: IO[str], path: Path, kind: int, todo: str) -> None:
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        raise
    except OSError as error:  # some network file systems have no locks
        raise ZooError(str(path.parent), f"files cannot be locked: {error.strerror}", todo) from None
