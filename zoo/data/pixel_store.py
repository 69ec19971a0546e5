"""The pixel store: every image is decoded once, squashed to S x S, and kept as uint8 [N, 3, S, S].

An image of any shape is squashed to a square, and its aspect ratio is stored beside it. A crop box in coordinates from 0 to 1
is the same in the image and in the square, so that nothing is lost to a center crop. The stores of image folders are files
mapped into memory, which are found again by a fingerprint of the file list.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from zoo.data import store_cache, unreadable
from zoo.data.decode import Decoded, DecodeJob, begin_worker, decode_range
from zoo.errors import DataError, StorageError, ZooError
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.files import cache_root, free_bytes, remove, staged, write_file
from zoo.system.hardware import cores
from zoo.system.locks import Share, exclusive, shared
from zoo.system.progress import show_progress

# Version of the format; it must change when the same files would give other pixels.
FORMAT = 3
# Files that a worker process decodes at a time. After a signal, each worker finishes two or three such parts;
# a photograph takes up to 0.25 s.
CHUNK = 16
# Number of files that one process decodes alone, because starting others would take longer.
ALONE = 256
# Bytes of a block: stores are verified in blocks, which are hashed in parallel.
BLOCK = 64 << 20
# Bytes of a block that are read at a time: the memory that verifying needs for each core.
PIECE = 4 << 20


@dataclass(frozen=True)
class PixelStore:
    """Decoded images.

    Attributes:
        images: uint8 [N, 3, S, S].
        aspects: float32 [N], width over height of each original image.
        mapped: the mapped file of the images, None if they are in memory.
        folder: the folder of that file.
        use: an object that tells other processes that the store is in use, as long as it lives.
        unreadable: reasons why files could not be read, by index; their images are black.
    """

    images: np.ndarray
    aspects: np.ndarray
    mapped: mmap.mmap | None = None
    folder: Path | None = None
    use: Share | None = None
    unreadable: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def square(cls, images: np.ndarray) -> PixelStore:
        """Return a store in memory of images uint8 [N, 3, S, S] that were square originally."""
        return cls(np.ascontiguousarray(images), np.ones(len(images), np.float32))

    @classmethod
    def empty(cls) -> PixelStore:
        """Return a store of no images, for splits that are planned before anything is decoded."""
        return cls.square(np.zeros((0, 3, 0, 0), np.uint8))

    def take(self, index: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy some of the images: index int64 [n] to uint8 [n, 3, S, S], into `out` if given.

        The pages that were read stay in the system's cache, but not in this process, so that a data set of any size takes
        no memory of its own.

        Raises:
            DataError: the file was truncated meanwhile; reading on would end the process by SIGBUS.
        """
        if self.mapped is not None and self.mapped.size() < len(self.mapped):
            what = f"the pixel store shrank to {self.mapped.size():,} of {len(self.mapped):,} bytes while in use"
            raise DataError(str(self.folder), what, "see what else writes to the cache folder, then --resume")
        # Without `clip`, numpy would copy through a buffer of its own. No index is out of range.
        taken = self.images[index] if out is None else np.take(self.images, index, axis=0, out=out, mode="clip")
        if self.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)
        return taken


def stored(key: str, build: Callable[[Path], None]) -> tuple[PixelStore, bool]:
    """Open the store of a fingerprint, after building it if it is missing or damaged.

    Args:
        key: the fingerprint.
        build: a function that writes `pixels.bin`, `aspects.npy` and all other files of the store into a staging folder.

    Returns:
        The store and whether it had to be built.

    Raises:
        ZooError: the cache cannot be written, or ZOO_CACHE_LIMIT is not a size.
    """
    folder = cache_root() / "pixels" / key
    limit = store_cache.limit()
    lock = folder.parent / f"{key}.lock"
    # Processes that only read do not wait for each other.
    with shared(lock):
        if not _damage(folder):
            return _open(folder), False
    with exclusive(lock):
        damage = _damage(folder)
        if damage:
            if folder.exists():
                Console().warn(f"{folder}: the pixel store is damaged ({damage}), decoding again")
            _build(folder, build)
        store = _open(folder)
    if damage and (text := store_cache.make_room(folder, limit)):
        Console().warn(text)
    return store, bool(damage)


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    """Build a store in a staging folder, write the digest of every block, and rename the folder into place."""
    for left in folder.parent.glob(f".{folder.name}.*"):  # left by killed processes; the lock is held
        remove(left)
    try:
        with staged(folder) as staging:
            staging.mkdir(parents=True)
            build(staging)
            manifest = {path.name: _digests(path) for path in sorted(staging.iterdir())}
            (staging / "manifest.json").write_text(json.dumps(manifest))
    except OSError as error:
        what = f"the pixel store cannot be written: {error.strerror or error}; {free_bytes(folder):,} bytes are free"
        raise StorageError(str(folder), what, "free some space or set ZOO_CACHE to another folder") from None


def _damage(folder: Path) -> str:
    """Compare every byte of a store with what was written; return what is wrong, or '' if nothing is.

    If a launch has several processes on this machine, the first one compares, and the others rely on its result as long as
    the files have not changed since.
    """
    if launch.read().local_processes == 1:
        return _compare(folder)
    try:
        stamp, now = launch.record(f"{folder.name}.json"), _marks(folder)
        if stamp.exists() and json.loads(stamp.read_text()) == now:
            return ""
        damage = _compare(folder)
        if not damage:
            write_file(stamp, json.dumps(now))
    except (OSError, ValueError, IndexError):
        return _compare(folder)
    return damage


def _marks(folder: Path) -> dict[str, list[int]]:
    """Return the inode, bytes and modification time of each file of a store, to tell whether a file has changed."""
    found = {path.name: path.stat() for path in sorted(folder.iterdir())}
    # The time of manifest.json is left out: it says when the store was last used.
    times = {name: 0 if name == "manifest.json" else stat.st_mtime_ns for name, stat in found.items()}
    return {name: [stat.st_ino, stat.st_size, times[name]] for name, stat in found.items()}


def _compare(folder: Path) -> str:
    """Compare a store with the digests in its manifest; return what is wrong, or '' if nothing is."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, digests in manifest.items():
            if _digests(folder / name) != digests:
                return f"{name} has changed"
        return "" if {"pixels.bin", "aspects.npy", "store.json"} <= set(manifest) else "files are missing"
    except OSError as error:
        return f"{Path(error.filename or folder).name}: {error.strerror}"
    except (ValueError, AttributeError):
        return "manifest.json cannot be read"


def _digests(path: Path) -> list[str]:
    """Return the SHA-256 of each block of a file; the blocks are read in parallel."""
    blocks = range(0, max(1, path.stat().st_size), BLOCK)
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda start: _digest(path, start), blocks))


def _digest(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        handle.seek(start)
        for _ in range(0, BLOCK, PIECE):
            digest.update(handle.read(PIECE))
    return digest.hexdigest()


def _open(folder: Path) -> PixelStore:
    """Map a store into memory, and mark it as in use and as last used now."""
    use = store_cache.use(folder)
    about = json.loads((folder / "store.json").read_text())
    shape = tuple(about["shape"])
    unreadable = {int(place): reason for place, reason in about.get("unreadable", {}).items()}
    with open(folder / "pixels.bin", "rb") as handle:
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    images = np.frombuffer(mapped, dtype=np.uint8).reshape(shape)
    return PixelStore(images, np.load(folder / "aspects.npy", allow_pickle=False), mapped, folder, use, unreadable)


def write(folder: Path, pixels: PixelStore, source: str) -> None:
    """Write a store that is in memory; `source` names the origin of its images, for `zoo cache`."""
    with open(folder / "pixels.bin", "wb") as handle:
        np.ascontiguousarray(pixels.images).tofile(handle)
    _seal(folder, pixels.images.shape, pixels.aspects, source, {})


def _seal(folder: Path, shape: tuple[int, ...], aspects: np.ndarray, source: str, unreadable: Mapping[int, str]) -> None:
    """Write the files beside the pixels: the aspect ratios, and the description of the store."""
    np.save(folder / "aspects.npy", aspects, allow_pickle=False)
    about = {"format": FORMAT, "shape": list(shape), "source": source, "unreadable": dict(unreadable)}
    (folder / "store.json").write_text(json.dumps(about))


def stats(files: Sequence[Path], where: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each file with its `os.stat_result`.

    Raises:
        ZooError: a file was removed after it was listed; the error names the key `where`.
    """
    for path in files:
        try:
            yield path, path.stat()
        except OSError as error:
            what = f"{error.filename} cannot be read: {error.strerror}"
            raise ZooError(where, what, "is another program writing there?") from None


def fingerprint(files: Sequence[Path], size: int, interpolation: str, where: str) -> str:
    """Return a key that changes with the path, size or modification time of any file, and with the way files are decoded."""
    digest = hashlib.sha256(f"{FORMAT} {size} {interpolation}".encode())
    for path, stat in stats(files, where):
        digest.update(b"\0".join([os.fsencode(path), str(stat.st_size).encode(), str(stat.st_mtime_ns).encode(), b""]))
    return digest.hexdigest()[:24]


def from_files(
    files: list[Path], size: int, interpolation: str, where: str, *, skip: bool = False, quiet: bool = False
) -> tuple[PixelStore, bool]:
    """Decode image files on all cores, or open the store of an earlier time; return the store and whether it was built now.

    Args:
        files: absolute paths, in the order of the store.
        size: S, in pixels.
        interpolation: bicubic, bilinear or lanczos.
        where: the key or flag that an error names.
        skip: accept files that cannot be read; the store lists them.
        quiet: show no progress bar.

    Raises:
        ZooError: files cannot be read; the error has their number and the first one, and a file lists all.
    """
    key = fingerprint(files, size, interpolation, where)

    def build(folder: Path) -> None:
        shape = (len(files), 3, size, size)
        target = folder / "pixels.bin"
        _allocate(target, int(np.prod(shape)))
        jobs = [
            DecodeJob(str(target), shape, first, [str(path) for path in files[first : first + CHUNK]], interpolation)
            for first in range(0, len(files), CHUNK)
        ]
        aspects = np.ones(len(files), np.float32)
        bad: dict[int, str] = {}
        passing: set[int] = set()
        with (
            show_progress("decoding", len(files), shown=not quiet) as count_images,
            contextlib.closing(_map(jobs, where)) as parts,
        ):
            for part in parts:
                aspects[part.first : part.first + len(part.aspects)] = part.aspects
                bad |= part.bad
                passing |= part.passing
                count_images(len(part.aspects))
        if passing and not skip:
            raise unreadable.refusal(bad, files, where, key)
        if passing:
            # If they were skipped for a temporary failure, they would be missing for good.
            raise unreadable.failure({place: bad[place] for place in passing}, files, where, key)
        _seal(folder, shape, aspects, os.path.commonpath([path.parent for path in files]), bad)

    # A store with unreadable files is kept, so that nothing is decoded again when they are skipped.
    store, made = stored(key, build)
    if store.unreadable and not skip:
        raise unreadable.refusal(store.unreadable, files, where, key)
    return store, made


def known_unreadable(files: list[Path], interpolation: str, where: str) -> Mapping[int, str] | None:
    """Return the reasons why files cannot be read, from a store of any size; None if there is no store of them.

    Args:
        files, interpolation, where: as for `from_files`.

    Raises:
        ZooError: a file was removed.
    """
    for store in store_cache.stores():
        if store.images == len(files) and store.folder.name == fingerprint(files, store.side, interpolation, where):
            with shared(store.folder.with_suffix(".lock")):
                if not _damage(store.folder):
                    return _open(store.folder).unreadable
    return None


def _allocate(path: Path, size: int) -> None:
    """Reserve the space of the whole file, so that a full disk is noticed now and not while a worker writes.

    Raises:
        StorageError: there is not enough space.
    """
    if size > (free := free_bytes(path)):
        what = f"the pixel store needs {size:,} bytes, {free:,} are free"
        raise StorageError(
            str(path.parent), what, "free some space, e.g. with zoo cache --clear, or set ZOO_CACHE to another folder"
        )
    with open(path, "wb") as handle:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(handle.fileno(), 0, size)
        else:
            handle.truncate(size)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the main script from processes that are spawned in the block, because they would run it again.

    A script without `if __name__ == "__main__":` would then wait for the lock of this store, and this process for the script.
    """
    script = vars(sys.modules["__main__"])
    before = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    script.pop("__file__", None)
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update(before)


def _map(jobs: list[DecodeJob], where: str) -> Generator[Decoded]:
    """Yield the result of `decode_range` for each job, in order; use worker processes for many files."""
    workers = min(cores(), len(jobs))
    if workers <= 1 or len(jobs) * CHUNK <= ALONE:
        yield from map(decode_range, jobs)
        return
    # Not fork: torch's threads may be running. The workers import Pillow and numpy only.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=begin_worker)
    try:
        with _hidden_main():
            found = pool.map(decode_range, jobs)  # starts the workers
        yield from found
    except BrokenProcessPool:
        raise ZooError(where, "a decoding process was killed", "is there enough memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)
