"""Measurements of many models, each in worker processes of its own: what `zoo bench` and `zoo scout` have in common."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.results import measured
from zoo.results.folder import RunFolder
from zoo.results.measured import Row
from zoo.system import workers
from zoo.system.console import Console
from zoo.system.hardware import cores, cpu_name, versions

# Packages whose versions are recorded with each row.
PACKAGES = ("torch", "timm", "zoo", "python")
# Seconds for the first worker to import torch and report the device: minutes on a cold disk.
STAMP_TIMEOUT = 300.0
# The status of a row that was measured.
OK = "ok"
# What tells rows apart: the model, and a number (or yes and no) where a model has several rows.
Key = tuple[str, int]


@dataclass(frozen=True)
class Kind:
    """A kind of measurement.

    Attributes:
        name: of the command, and of the folder that is made if `--out` names none.
        title: the same in a sentence.
        state_file: the file in a folder that holds its settings, its hardware and whether it is finished.
        columns: of a row.
        lists: those of them that hold lists, and are left out of the CSV file.
        key: returns what tells rows apart.
    """

    name: str
    title: str
    state_file: str
    columns: Sequence[str]
    lists: Sequence[str]
    key: Callable[[Row], Key]


def hardware(kind: Kind, target: str) -> dict[str, Any]:
    """Return what rows depend on besides the settings: device, processor, cores and versions.

    Args:
        kind: what is measured.
        target: the module that measures; its function `stamp` reports the device, and whatever else it says is kept.

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
    """Hold the folder of a measurement, and note in it when the block is left without an error that it is finished.

    Args:
        kind: what is measured.
        out: the folder; None resumes an unfinished measurement of the same state, or makes a new folder.
        state: `hardware` and `settings`, which rows depend on, and `asked`, the rows that are wanted.

    Raises:
        ZooError: it cannot be written, holds rows of other settings or hardware, or another process holds it.
    """
    path = measured.open_folder(out, kind.name, kind.state_file, state)
    folder = RunFolder(path)
    with folder.held("--out"):
        folder.write_json(kind.state_file, state | {"finished": False})
        yield path
        folder.write_json(kind.state_file, state | {"finished": True})


class Measurements:
    """The rows of a folder, which grow by one measurement after the other.

    Attributes:
        rows: by their keys.
    """

    def __init__(self, kind: Kind, folder: Path, hardware: Mapping[str, Any], target: str, timeout: float) -> None:
        self.kind, self.folder, self.hardware, self.target, self.timeout = kind, folder, hardware, target, timeout
        self.rows = {kind.key(row): row for row in measured.read_rows(folder, kind.title)}

    def measured_before(self, keys: Sequence[Key]) -> list[Key]:
        """Return the keys whose rows need not be measured again."""
        return [key for key in keys if self.rows.get(key, {}).get("status") == OK]

    def describe_machine(self, console: Console) -> None:
        """Print what the rows are measured on."""
        known = self.hardware
        machine = f"{known['device']}, {known['cores']} cores"
        console.fact("device", f"{machine}, torch {known['torch']}, timm {known['timm']}")

    def new_row(self, model: str) -> Row:
        """Return the row of a model that is not measured yet."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"model": model, "status": "unknown", "error": "", **self.hardware, "date": now}

    def measure(self, row: Row, request: object, processes: int = 1) -> Row:
        """Measure a model in worker processes; whatever happens to them, the result is a row.

        Args:
            row: what is known of it; the target's function `measure` adds to it.
            request: what it is sent.
            processes: that measure together.
        """
        started = time.perf_counter()
        call = workers.WorkerCall(f"{self.target}:measure", {"request": request}, f"zoo {row['model']}")
        outcome = workers.run(call, row.update, processes=processes, timeout=self.timeout)
        return row | {"status": outcome.status, "error": outcome.error, "seconds": round(time.perf_counter() - started, 2)}

    def write(self, keys: Sequence[Key]) -> None:
        """Write the rows of some keys in their order, and after them those that were in the folder before.

        Raises:
            StorageError: they cannot be written.
        """
        found = [self.rows[key] for key in dict.fromkeys([*keys, *self.rows]) if key in self.rows]
        measured.write_rows(self.folder, found, self.kind.columns, self.kind.lists)
