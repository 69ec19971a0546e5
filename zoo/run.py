"""The run folder and the console: files written whole, rows that read the same in a terminal and in a log.

No torch in here: reports and leaderboards read run folders without it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from zoo.errors import StorageError, ZooError

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class Run:
    """A run folder."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str) -> Run:
        """Make a folder of that name, or `NAME-2`, `NAME-3`, … where it is taken.

        Raises:
            ZooError: the root cannot be written.
        """
        root = root.expanduser()
        for number in range(1, 10_000):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir(parents=True, exist_ok=False)
            except FileExistsError:
                if root.is_dir():
                    continue
                raise ZooError("output.root", f"not a directory: {root}", "choose another") from None
            except OSError as error:
                raise ZooError("output.root", f"not writable: {root}: {error.strerror}", "choose another") from None
            return cls(path)
        raise ZooError("output.root", f"{root} holds too many runs named {name}", "choose another name")

    @staticmethod
    def check(root: Path) -> None:
        """See that a run folder could be made, without making one.

        Raises:
            ZooError: the root cannot be written.
        """
        there = existing(root)
        if not there.is_dir():
            raise ZooError("output.root", f"not a directory: {there}", "choose another")
        try:
            # Asking for permission is not enough: /proc says yes, and lets nothing be made.
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            raise ZooError("output.root", f"not writable: {there}: {error.strerror}", "choose another") from None

    @contextlib.contextmanager
    def held(self, where: str = "--resume") -> Iterator[None]:
        """Keep other processes from working in this folder; `where` is the option that an error names.

        Raises:
            ZooError: another one does, or the folder cannot be written.
        """
        path = self.path / ".lock"
        with _locked(path, where) as handle:
            handle.truncate(0)
            handle.write(f"pid {os.getpid()} on {platform.node()}")
            handle.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def write(self, name: str, text: str) -> None:
        """Write a file whole: it has the old content or the new one, at any moment."""
        target = self.path / name
        staging = target.with_name(f".{target.name}.tmp")
        try:
            with open(staging, "w", encoding="utf-8") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(staging, target)
            sync(target.parent)
        except OSError as error:
            staging.unlink(missing_ok=True)
            what = f"cannot be written: {error.strerror}; needs {len(text):,} bytes, {free_bytes(target):,} are free"
            raise StorageError(str(target), what, "free some space, then --resume") from None

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        self.write(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run.

        Raises:
            ZooError: it is missing or damaged.
        """
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ZooError(str(path), "no such file", "give the folder of a run") from None
        except (OSError, ValueError) as error:
            raise ZooError(str(path), f"cannot be read: {error}", "the run is damaged") from None

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write `metrics.jsonl`: a line for each epoch, the whole file each time, so that none is twice or half in it."""
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))


def _locked(path: Path, where: str) -> IO[str]:
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


def newest_unfinished(root: Path, name: str) -> Path | None:
    """The newest run folder of a name that has a checkpoint and no result; None where there is none."""
    pattern = re.compile(re.escape(name) + r"(-\d+)?")
    runs = [path for path in root.expanduser().glob(f"{glob.escape(name)}*") if pattern.fullmatch(path.name)]
    open_runs = [
        path
        for path in runs
        if any(path.glob("checkpoints/step-*")) and not (path / "result.json").exists() and _is_named(path, name)
    ]
    return max(open_runs, key=lambda path: path.stat().st_mtime, default=None)


def _is_named(run: Path, name: str) -> bool:
    """Whether a run's recipe has a name: `net-50` may be a run of that name, or the fiftieth of `net`."""
    try:
        first = re.search(r"^name: (.*)$", (run / "recipe.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return True  # the run is damaged, and that is said when it is gone on with
    return first is None or first[1].strip("'\"") == name


def versions() -> dict[str, str]:
    """Python and the packages that decide what a run does."""
    found = {"python": platform.python_version(), "zoo": metadata_version("zoo-trainer")}
    return found | {name: metadata_version(name) for name in PACKAGES}


def metadata_version(name: str) -> str:
    """An installed package's version, '' where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def environment(**more: Any) -> dict[str, Any]:
    """What a run ran on: `environment.json`."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": cores(),
        "versions": versions(),
        **more,
    }


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ------------------------------------------------------------------------------------- console


@dataclass(frozen=True)
class Console:
    """Lines on standard output, from the main process only."""

    quiet: bool = False

    def fact(self, name: str, text: str) -> None:
        """One of the first lines: what the run is made of."""
        self.line(f"{name:<10} {text}")

    def line(self, text: str = "") -> None:
        """A line."""
        if not self.quiet:
            print(text, flush=True)  # noqa: T201

    def warn(self, text: str) -> None:
        """A line on standard error."""
        if not self.quiet:
            print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201


# A column of the epoch rows: its heading, its key in metrics.jsonl, how it is written, how wide.
COLUMNS = (
    ("epoch", "epoch", "{:d}", 5),
    ("step", "step", "{:d}", 7),
    ("lr", "lr", "{:.2e}", 9),
    ("train loss", "train.loss", "{:.4f}", 11),
    ("train acc", "train.accuracy", "{:.2%}", 10),
    ("val loss", "val.loss", "{:.4f}", 9),
    ("val acc", "val.accuracy", "{:.2%}", 8),
    ("test loss", "test.loss", "{:.4f}", 10),
    ("test acc", "test.accuracy", "{:.2%}", 9),
    ("images/s", "images_per_second", "{:,.0f}", 9),
    ("data", "data_share", "{:.1%}", 6),
    ("time", "seconds", "{:.0f} s", 8),
)


def heading(splits: Sequence[str]) -> str:
    """The headings of the epoch rows."""
    return " ".join(f"{title:>{width}}" for title, _, _, width in _columns(splits))


def row(values: Mapping[str, Any], splits: Sequence[str]) -> str:
    """One epoch's row."""
    cells = []
    for _, key, form, width in _columns(splits):
        value = values.get(key)
        text = "-" if value is None else form.format(value).replace("%", " %")
        cells.append(f"{text:>{width}}")
    return " ".join(cells)


def _columns(splits: Sequence[str]) -> list[tuple[str, str, str, int]]:
    return [column for column in COLUMNS if "." not in column[1] or column[1].split(".")[0] in ("train", *splits)]
