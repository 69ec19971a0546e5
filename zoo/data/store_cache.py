"""The pixel stores on the disk: list them, tell which are in use, and remove old ones.

The modification time of a store's `manifest.json` is when the store was last used. The store is in use while a process
shares the lock of that file. Only the standard library is imported, so that `zoo cache` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ZooError
from zoo.system import locks
from zoo.system.files import cache_root, discard, existing, remove

# Environment variable with the most bytes that pixel stores may take: `50G`, `800M` or plain bytes.
LIMIT_VARIABLE = "ZOO_CACHE_LIMIT"
# Share of the disk that pixel stores may take if the variable is not set.
LIMIT_SHARE = 0.1
# Bytes that they may take even if that is more than LIMIT_SHARE: one store of 10,000 photos for 224 px is 4 to 8 GB.
LIMIT_LEAST = 20_000_000_000
# Share of the disk that LIMIT_LEAST may not exceed: on small disks, room for runs matters more.
LIMIT_MOST_SHARE = 0.5
# Seconds after which an unused store is removed when another one of the same images is built: a week.
SUPERSEDED_AFTER = 7 * 24 * 3600.0
# Bytes that the letter after a size stands for.
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Store:
    """A pixel store on the disk.

    Attributes:
        folder: the folder of the store.
        source: the folder of the images or the name of the data set; '' if an earlier version did not record it.
        images: number of images.
        side: side of the stored images in pixels.
        size: bytes of all its files.
        used: when it was last used, in seconds since 1970.
    """

    folder: Path
    source: str
    images: int
    side: int
    size: int
    used: float

    def in_use(self) -> bool:
        """Return whether a process has the store open."""
        try:
            with locks.unused(self.folder / "manifest.json") as free:
                return not free
        except OSError:
            return False

    def remove(self) -> bool:
        """Remove the store unless it is in use; return whether it is gone."""
        with contextlib.suppress(OSError), _free(self.folder) as free:
            if free:
                discard(self.folder)
        return not self.folder.exists()


def stores() -> list[Store]:
    """Return all pixel stores of the cache, the least recently used first."""
    root = cache_root() / "pixels"
    found = [store for path in sorted(root.glob("[!.]*/store.json")) if (store := _read(path.parent)) is not None]
    return sorted(found, key=lambda store: store.used)


def leftovers() -> list[Path]:
    """Return the partly written or partly removed folders of killed processes, but none that is being written now."""
    found = []
    for path in sorted((cache_root() / "pixels").glob(".*")):
        with contextlib.suppress(OSError), locks.unused(_lock_of(path)) as free:
            if free:
                found.append(path)
    return found


def remove_leftovers() -> int:
    """Remove the partly written or partly removed folders of killed processes; return the bytes freed."""
    freed = 0
    for path in leftovers():
        with contextlib.suppress(OSError), locks.unused(_lock_of(path)) as free:
            if free:
                freed += sum(file.stat().st_size for file in path.glob("*"))
                remove(path)
    return freed


def _lock_of(leftover: Path) -> Path:
    """Return the lock of the store that a hidden folder belongs to."""
    return leftover.with_name(f"{leftover.name[1:].split('.')[0]}.lock")


def limit() -> int:
    """Return the most bytes that pixel stores may take.

    Raises:
        ZooError: ZOO_CACHE_LIMIT is not a size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        disk = shutil.disk_usage(existing(cache_root())).total
        return int(max(LIMIT_SHARE * disk, min(LIMIT_LEAST, LIMIT_MOST_SHARE * disk)))
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text, re.IGNORECASE)
    if match is None:
        raise ZooError(LIMIT_VARIABLE, f"expected a size, found {text!r}", "e.g. 50G, or a number of bytes")
    return int(float(match[1]) * UNITS[match[2].upper()])


def use(folder: Path) -> locks.Share:
    """Mark a store as in use by this process while the returned object lives, and as used now."""
    manifest = folder / "manifest.json"
    with contextlib.suppress(OSError):  # a read-only cache
        os.utime(manifest)
    return locks.Share(manifest)


def make_room(built: Path, most: int) -> str:
    """Remove old stores after one was built: unused ones of the same images, and the least recently used ones beyond a limit.

    A store that is in use, or the one just built, is never removed.

    Args:
        built: the folder of the store just built.
        most: the limit, in bytes of all stores.

    Returns:
        A line that says what was removed, or '' if nothing was.
    """
    remove_leftovers()
    found = stores()
    own = next((store for store in found if store.folder == built), None)
    others = [store for store in found if store.folder != built]
    total = sum(store.size for store in found)
    removed: list[Store] = []
    for store in others:
        superseded = own is not None and store.source == own.source and time.time() - store.used > SUPERSEDED_AFTER
        if (superseded or total > most) and store.remove():
            removed.append(store)
            total -= store.size
    if not removed:
        return ""
    freed = sum(store.size for store in removed)
    count = f"{len(removed)} pixel store{'s' * (len(removed) > 1)}"
    return f"removed {count} not used lately ({freed / 1e6:,.0f} MB) from {built.parent}; the limit is {most / 1e9:,.1f} GB"


@contextlib.contextmanager
def _free(folder: Path) -> Iterator[bool]:
    """Hold both locks of a store, for building and for using it; yield whether no other process holds one."""
    lock = folder.with_name(f"{folder.name}.lock")
    lock.touch()
    with locks.unused(lock) as idle, locks.unused(folder / "manifest.json") as free:
        yield idle and free


def _read(folder: Path) -> Store | None:
    """Read the description of a store; return None if it is damaged."""
    try:
        about = json.loads((folder / "store.json").read_text())
        images, _, _, side = about["shape"]
        size = sum(path.stat().st_size for path in folder.iterdir())
        used = (folder / "manifest.json").stat().st_mtime
        # The keys of torchvision's data sets have the name in them: CIFAR10-3.
        named = folder.name.rpartition("-")[0]
        return Store(folder, str(about.get("source", named)), int(images), int(side), size, used)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
