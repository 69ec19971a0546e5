"""Run a benchmark: measure each model in worker processes of its own, and write each row as soon as it is known."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoo.bench import rows
from zoo.bench.rows import Row
from zoo.bench.settings import Request, Settings
from zoo.errors import ZooError
from zoo.models import names
from zoo.results import measured
from zoo.results.folder import RunFolder
from zoo.system import table, workers
from zoo.system.console import Console
from zoo.system.hardware import cores, cpu_name, versions
from zoo.system.progress import show_current

# The file in a benchmark's folder that holds its settings, its hardware and whether it is finished.
STATE = "benchmark.json"
# Packages whose versions are recorded with each row.
PACKAGES = ("torch", "timm", "zoo", "python")
# The name of a folder that is made if `--out` names none.
NAME = "bench"
# Seconds for the first worker to import torch and report the device: minutes on a cold disk.
STAMP_TIMEOUT = 300.0
# A model and a number of processes.
Task = tuple[str, int]


# ----------------------------------------------------------------------------------------- run


def run_benchmark(
    models: Sequence[str],
    chosen: Settings,
    *,
    out: Path | None,
    timeout: float = 600.0,
    processes: Sequence[int] = (1,),
    target: str = "zoo.bench.measure",
) -> int:
    """Measure models, and write `results.csv`, `results.json` and `throughput.svg`.

    Args:
        models: names; each unknown one becomes a row that names the nearest.
        chosen: how they are measured.
        out: the folder; None resumes an unfinished benchmark of the same settings, or makes a new folder.
        timeout: seconds that a model may take.
        processes: each model is measured on each of these numbers of processes.
        target: the module that measures.

    Returns:
        The exit code: 0, or 1 if a model could not be measured.

    Raises:
        ZooError: bad input, before anything is measured.
        StorageError: the results can no longer be written.
    """
    from zoo.bench import images

    try:
        files = tuple(images.list_images(Path(chosen.data))) if chosen.data else ()
    except ZooError as error:
        raise error.at("--data") from None
    measured.check_writable(out or measured.ROOT)
    if len(processes) > 1 and chosen.threads is None:
        # Each process gets the same threads whatever their number, or the effect of the two could not be told apart.
        chosen = replace(chosen, threads=max(1, cores() // max(processes)))
    hardware = _hardware(chosen, target)
    asked = {"models": list(models), "processes": list(processes)}
    state = {"settings": asdict(chosen) | {"modes": list(chosen.modes)}, "hardware": hardware, "asked": asked}
    folder = measured.open_folder(out, NAME, STATE, state)
    benchmark = Benchmark(folder, chosen, hardware, files, timeout, target)
    tasks = [(model, number) for model in models for number in processes]
    with RunFolder(folder).held("--out"):
        RunFolder(folder).write_json(STATE, state | {"finished": False})
        benchmark.run(tasks)
        RunFolder(folder).write_json(STATE, state | {"finished": True})
        return benchmark.finish(tasks)


def _hardware(chosen: Settings, target: str) -> dict[str, Any]:
    """Return what rows depend on besides the settings: device, processor, cores and versions.

    Raises:
        ZooError: no worker process can be started, or the precision needs a GPU and there is none.
    """
    heard: dict[str, Any] = {}
    outcome = workers.run(workers.WorkerCall(f"{target}:stamp", {}, "zoo bench"), heard.update, timeout=STAMP_TIMEOUT)
    if outcome.status != "ok":
        raise ZooError("zoo bench", f"no worker process can be started: {outcome.error}", "check that 'import torch' works")
    if chosen.precision == "fp16" and heard["device_type"] == "cpu":
        raise ZooError("--precision", "fp16 needs a GPU", "use auto, bf16 or fp32")
    found = versions()
    return {"device": heard["device"], "cpu": cpu_name(), "cores": cores()} | {name: found[name] for name in PACKAGES}


# ----------------------------------------------------------------------------------- benchmark


@dataclass
class Benchmark:
    """A benchmark that is running: its folder and the rows so far."""

    folder: Path
    chosen: Settings
    hardware: Mapping[str, Any]
    files: tuple[str, ...]
    timeout: float
    target: str

    def __post_init__(self) -> None:
        self.rows = {rows.key(row): row for row in rows.read_json(self.folder)}
        self.console = Console()

    def run(self, tasks: Sequence[Task]) -> None:
        """Measure every task that has no row yet or whose row failed, and print the rows of all."""
        known = [task for task in tasks if self.rows.get(task, {}).get("status") == "ok"]
        columns = rows.columns(self.chosen, [model for model, _ in tasks], any(number > 1 for _, number in tasks))
        self._describe(tasks, known)
        self.console.line()
        self.console.line(table.heading(columns))
        for position, task in enumerate(tasks, start=1):
            if task not in known:
                show_current(f"{position}/{len(tasks)} {task[0]}")
                self.rows[task] = self._measured(*task)
                self._add_efficiency(task)
                rows.write(self.folder, self._ordered(tasks))
                show_current("")
            self.console.line(rows.line(self.rows[task], columns))

    def _describe(self, tasks: Sequence[Task], known: Sequence[Task]) -> None:
        """Print the machine, the data, the folder and how many rows are there already."""
        data = self.chosen.data or "made-up photographs"
        machine = f"{self.hardware['device']}, {self.hardware['cores']} cores"
        self.console.fact("device", f"{machine}, torch {self.hardware['torch']}, timm {self.hardware['timm']}")
        self.console.fact("data", f"{data} for batches alone and end to end")
        self.console.fact("results", str(self.folder))
        if known:
            when = min(str(self.rows[task]["date"]) for task in known)
            note = "" if len(known) < len(tasks) else "; to measure again, give another --out"
            self.console.fact("resumed", f"{len(known)} of {len(tasks)} rows were measured before, from {when}{note}")

    def _measured(self, model: str, processes: int) -> Row:
        """Measure a model in worker processes; whatever happens to them, the result is a row."""
        row: Row = {"model": model, "status": "unknown", "error": "", "processes": processes, **self.hardware}
        row |= {"compile": self.chosen.compile, "optimizer": self.chosen.optimizer, "classes": self.chosen.classes}
        row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            names.check_backbone(model)
        except ValueError as error:
            return row | {"error": str(error)}
        before = self._chosen_before(model, processes)
        request = Request(model, self.chosen, self.files).fixed(before)
        started = time.perf_counter()
        outcome = workers.run(
            workers.WorkerCall(f"{self.target}:measure", {"request": request}, f"zoo {model}"),
            row.update,
            processes=processes,
            timeout=self.timeout,
        )
        if before and "choice" in row:
            row["choice"] = "as on fewer processes"
        row |= {"status": outcome.status, "error": outcome.error, "seconds": round(time.perf_counter() - started, 2)}
        if "timed_seconds" in row:
            row["overhead_seconds"] = round(row["seconds"] - row["timed_seconds"] - row["warmup_seconds"], 2)
        return row

    def _chosen_before(self, model: str, processes: int) -> dict[str, Any]:
        """Return the settings that `auto` chose for a model on fewer processes.

        Chosen anew on more processes, they would change the efficiency.
        """
        measured = [row for (name, number), row in self.rows.items() if name == model and number < processes]
        row = next((row for row in measured if row["status"] == "ok"), None)
        if row is None:
            return {}
        found = {"precision": row["precision"], "channels_last": row["channels_last"]}
        # The largest batch that fits into a GPU would leave no room for the gradients of other processes.
        on_cpu = self.hardware["device"] == self.hardware["cpu"]
        return found | ({"batch_size": row[f"{self.chosen.modes[0]}_batch_size"]} if on_cpu else {})

    def _add_efficiency(self, task: Task) -> None:
        """Set the speed of n processes as a share of n times the speed of one."""
        row, one = self.rows[task], self.rows.get((task[0], 1), {})
        column = f"{self.chosen.main_mode}_samples_per_sec"
        if column in row and one.get(column):
            row["efficiency"] = round(row[column] / task[1] / one[column], 4)

    def _ordered(self, tasks: Sequence[Task]) -> list[Row]:
        """Return the rows of the tasks, and after them those that were in the folder before."""
        return [self.rows[task] for task in dict.fromkeys([*tasks, *self.rows]) if task in self.rows]

    def finish(self, tasks: Sequence[Task]) -> int:
        """Draw the picture, print notes on the rows, and return the exit code."""
        from zoo.bench import plot

        found = [self.rows[task] for task in tasks]
        fine = [row for row in found if row["status"] == "ok"]
        written = ["results.csv", "results.json"]
        if fine:
            plot.draw_throughput(fine, self.folder / "throughput.svg", self.hardware["device"])
            written.append("throughput.svg")
        self.console.line()
        if note := rows.busy_note(fine):
            self.console.fact("busy", note)
        if len(fine) < len(found):
            self.console.fact("failed", f"{len(found) - len(fine)} of {len(found)} rows: the table says why")
        self.console.fact("results", f"{self.folder} ({', '.join(written)})")
        return 0 if len(fine) == len(found) else 1
