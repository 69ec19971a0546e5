"""Write files and folders atomically: staged beside the target, synced, renamed. Also digests, free space and the cache.

Readers see the old content or the new one, at any moment and after a power cut. A folder is replaced by two renames; `recover`
restores the old one if the process was killed between them. No other module implements this.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import StorageError

# Endings of the hidden names beside a target: of the file or folder being written, and of the folder that it replaces.
STAGING = ".tmp"
PREVIOUS = ".previous"


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


# Permission bits that new files must not have. Read only once, since reading the umask requires setting another one.
UMASK = _read_umask()


def printable(name: str) -> str:
    """Return a file's name or path in a form that any program can print: bytes that are not text become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a path to write a file or folder to, then sync it and move it into the target's place.

    Yields:
        A path beside the target where nothing exists yet. If the block raises, it is removed and the target stays.

    Raises:
        OSError: the target cannot be written.
    """
    staging = hidden(target, STAGING)
    remove(staging)
    recover(target)
    try:
        yield staging
        for path in [*staging.rglob("*"), staging]:
            _open_to_others(path)
            sync(path)
        _put_in_place(staging, target)
    finally:
        remove(staging)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically; text is encoded as UTF-8.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    with staged(path) as staging:
        staging.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def storing(path: Path, size: int, todo: str = "free some space, then --resume") -> Iterator[None]:
    """Turn an error while writing about `size` bytes into one line, which ends with what to do about it.

    Raises:
        StorageError: writing failed; the error has the path, the bytes needed and the free bytes.
    """
    try:
        yield
    except Exception as error:
        from safetensors import SafetensorError

        # A full disk is a SafetensorError or, from torch, a RuntimeError about a position in the stream.
        if not isinstance(error, OSError | RuntimeError | SafetensorError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        what = f"cannot be written: {reason}; needs {size:,} bytes, {free_bytes(path):,} are free"
        raise StorageError(str(path), what, todo) from None


def hidden(path: Path, ending: str) -> Path:
    """Return the hidden name beside a path."""
    return path.with_name(f".{path.name}{ending}")


def recover(target: Path) -> None:
    """Restore a folder that was set aside by a process that was killed before it had replaced the folder."""
    previous = hidden(target, PREVIOUS)
    if previous.exists():
        if target.exists():
            remove(previous)
        else:
            os.replace(previous, target)


def remove(path: Path) -> None:
    """Remove a file or folder as far as possible; do nothing if it does not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def discard(folder: Path) -> None:
    """Rename a folder to a hidden name and remove it, so that a half-removed folder never passes for a complete one.

    Raises:
        OSError: the folder cannot be renamed, and is unchanged.
    """
    gone = hidden(folder, STAGING)
    os.replace(folder, gone)
    remove(gone)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """Return a file's SHA-256, as hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with `~` and `~user` replaced by the home folder; unchanged if there is no such user."""
    return Path(os.path.expanduser(path))  # Path.expanduser raises instead


def existing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that exists."""
    there = expanded(path).absolute()
    while not os.path.exists(there):  # Path.exists raises if a folder above it may not be searched
        there = there.parent
    return there


def free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of a path, which need not exist."""
    return shutil.disk_usage(existing(path)).free


def cache_root() -> Path:
    """Return the cache folder: `ZOO_CACHE`, else `~/.cache/zoo`."""
    return expanded(os.environ.get("ZOO_CACHE", "~/.cache/zoo"))


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`; a folder cannot replace another one, so the old one is set aside first."""
    if target.is_dir():
        os.replace(target, hidden(target, PREVIOUS))
    os.replace(staging, target)
    sync(target.parent)
    remove(hidden(target, PREVIOUS))


def _open_to_others(path: Path) -> None:
    """Give a file or folder the permissions of any new one: safetensors makes files that only their owner can read."""
    mode = path.stat().st_mode & 0o777
    wanted = mode | (0o777 if path.is_dir() else 0o666) & ~UMASK
    if mode != wanted:
        with contextlib.suppress(OSError):  # some file systems have no permissions
            path.chmod(wanted)
