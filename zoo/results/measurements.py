"""Measure many models, each in its own worker processes: shared by `zoo bench` and `zoo scout`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoo.errors import Stopped, ZooError
from zoo.results import measured
from zoo.results.folder import RunFolder
from zoo.results.measured import Row
from zoo.system import workers
from zoo.system.console import Console
from zoo.system.hardware import cores, cpu_name, versions
from zoo.system.progress import show_current

# Packages whose versions are recorded with each row.
PACKAGES = ("torch", "timm", "zoo", "python")
# Maximum seconds for the first worker to import torch and report the device; a cold disk can take minutes.
STAMP_TIMEOUT = 300.0
# The status of a measured row.
OK = "ok"
# Identifies a row: the model, and a number or bool that distinguishes several rows of one model.
Key = tuple[str, int]


@dataclass(frozen=True)
class Kind:
    """A kind of measurement.

    Attributes:
        name: name of the command, and of the folder that is created without `--out`.
        title: name in a sentence, such as `a scout run`.
        state_file: the file in a folder that holds its settings, its hardware and whether it is finished.
        columns: columns of a row.
        lists: columns that hold lists, which are left out of the CSV file.
        key: function that returns the key of a row.
    """

    name: str
    title: str
    state_file: str
    columns: Sequence[str]
    lists: Sequence[str]
    key: Callable[[Row], Key]


def hardware(kind: Kind, target: str) -> dict[str, Any]:
    """Return the hardware and versions that rows depend on: device, processor, cores and packages.

    Args:
        kind: kind of measurement.
        target: the module that measures; its function `stamp` reports the device, and any other values it sends are kept.

    Raises:
        ZooError: no worker process can be started.
    """
    device: dict[str, Any] = {}
    command = f"zoo {kind.name}"
    outcome = workers.run(workers.WorkerCall(f"{target}:stamp", {}, command), device.update, timeout=STAMP_TIMEOUT)
    if outcome.status != OK:
        raise ZooError(command, f"no worker process can be started: {outcome.error}", "check that 'import torch' works")
    found = versions()
    return device | {"cpu": cpu_name(), "cores": cores()} | {name: found[name] for name in PACKAGES}


@contextlib.contextmanager
def opened(kind: Kind, out: Path | None, state: dict[str, Any]) -> Iterator[Path]:
    """Open and lock the folder of a measurement; mark it as finished if the block ends without an error.

    Args:
        kind: kind of measurement.
        out: the folder; None resumes an unfinished measurement with the same state, or creates a new folder.
        state: `hardware` and `settings`, which rows depend on, and `asked`, the requested rows.

    Raises:
        ZooError: the folder cannot be written, holds rows of another command, of other settings or hardware, or is in use by
            another process.
        Stopped: Ctrl-C interrupted the block, or SIGTERM in a command (`signals.stoppable`).
    """
    path = measured.open_folder(out, kind.name, kind.state_file, state)
    folder = RunFolder(path)
    with folder.held("--out"):
        folder.write_json(kind.state_file, state | {"finished": False})
        try:
            yield path
        except KeyboardInterrupt:
            show_current("")
            when = f"during a measurement; earlier rows are in {path}"
            raise Stopped("a signal", when, "the same command continues") from None
        folder.write_json(kind.state_file, state | {"finished": True})


class Measurements:
    """The rows of a folder, to which measurements are added one by one.

    Attributes:
        rows: rows by their keys.
    """

    def __init__(self, kind: Kind, folder: Path, hardware: Mapping[str, Any], target: str, timeout: float) -> None:
        self.kind, self.folder, self.hardware, self.target, self.timeout = kind, folder, hardware, target, timeout
        self.rows = {kind.key(row): row for row in measured.read_rows(folder, kind.title)}

    def measured_before(self, keys: Sequence[Key]) -> list[Key]:
        """Return the keys of rows that were measured successfully before."""
        return [key for key in keys if self.rows.get(key, {}).get("status") == OK]

    def describe_machine(self, console: Console) -> None:
        """Print the device, its cores and the versions of torch and timm."""
        known = self.hardware
        machine = f"{known['device']}, {known['cores']} cores"
        console.fact("device", f"{machine}, torch {known['torch']}, timm {known['timm']}")

    def new_row(self, model: str) -> Row:
        """Return a new row for a model that is not measured yet."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"model": model, "status": "unknown", "error": "", **self.hardware, "date": now}

    def measure(self, row: Row, request: object, processes: int = 1) -> Row:
        """Measure a model in worker processes; if they fail, the row has the error.

        Args:
            row: the columns known so far; the target's function `measure` adds to it.
            request: the request that is sent to the workers.
            processes: number of processes that measure together.
        """
        started = time.perf_counter()
        call = workers.WorkerCall(f"{self.target}:measure", {"request": request}, f"zoo {row['model']}")
        outcome = workers.run(call, row.update, processes=processes, timeout=self.timeout)
        return row | {"status": outcome.status, "error": outcome.error, "seconds": round(time.perf_counter() - started, 2)}

    def write(self, keys: Sequence[Key]) -> None:
        """Write the rows of the given keys in order, followed by the other rows of the folder.

        Raises:
            StorageError: a file cannot be written.
        """
        found = [self.rows[key] for key in dict.fromkeys([*keys, *self.rows]) if key in self.rows]
        measured.write_rows(self.folder, found, self.kind.columns, self.kind.lists)
