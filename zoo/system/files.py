"""Files and folders: free space, what is on the disk for good, where caches lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    there = path.expanduser().absolute()
    while not os.path.exists(there):  # Path.exists raises where a folder above may not be looked into
        there = there.parent
    return there


def free_bytes(path: Path) -> int:
    """Bytes that can still be written where a path is, or would be."""
    return shutil.disk_usage(existing(path)).free


def sync(path: Path) -> None:
    """See that a file or folder is on the disk, should the power fail."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cache_root() -> Path:
    """The folder for what can be made again: `ZOO_CACHE`, else `~/.cache/zoo`."""
    return Path(os.environ.get("ZOO_CACHE", "~/.cache/zoo")).expanduser()
