"""Run a benchmark: measure each model in worker processes of its own, and write each row as soon as it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zoo.bench import rows
from zoo.bench.settings import Request, Settings
from zoo.errors import ZooError
from zoo.models import names
from zoo.results import measured, measurements
from zoo.results.measured import Row
from zoo.results.measurements import OK, Kind, Measurements
from zoo.system import table
from zoo.system.console import Console
from zoo.system.hardware import cores
from zoo.system.progress import show_current

KIND = Kind("bench", "a benchmark", "benchmark.json", rows.COLUMNS, (), rows.key)
# The name of a model and a number of processes.
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
        models: names of models. An unknown name becomes a row whose error suggests the nearest names.
        chosen: the settings of the benchmark.
        out: the output folder; None resumes an unfinished benchmark with the same settings, or makes a new folder.
        timeout: maximum seconds per model.
        processes: numbers of processes; each model is measured with each of them.
        target: name of the module whose functions run in the worker processes.

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
        # Use the same threads per process for each number of processes: otherwise their effects could not be told apart.
        chosen = replace(chosen, threads=max(1, cores() // max(processes)))
    hardware = _hardware(chosen, target)
    asked = {"models": list(models), "processes": list(processes)}
    state = {"settings": asdict(chosen) | {"modes": list(chosen.modes)}, "hardware": hardware, "asked": asked}
    tasks = [(model, number) for model in models for number in processes]
    with measurements.opened(KIND, out, state) as folder:
        benchmark = Benchmark(Measurements(KIND, folder, hardware, target, timeout), chosen, files)
        benchmark.run(tasks)
        return benchmark.finish(tasks)


def _hardware(chosen: Settings, target: str) -> dict[str, Any]:
    """Return the hardware and software versions, which rows depend on besides the settings.

    Raises:
        ZooError: no worker process can be started, or the precision needs a GPU and there is none.
    """
    found = measurements.hardware(KIND, target)
    if found.pop("device_type") == "cpu" and chosen.precision == "fp16":
        raise ZooError("--precision", "fp16 needs a GPU", "use auto, bf16 or fp32")
    return found


# ----------------------------------------------------------------------------------- benchmark


class Benchmark:
    """A benchmark that is running."""

    def __init__(self, measurements: Measurements, chosen: Settings, files: tuple[str, ...]) -> None:
        self.measurements, self.chosen, self.files = measurements, chosen, files
        self.rows, self.hardware = measurements.rows, measurements.hardware
        self.console = Console()

    def run(self, tasks: Sequence[Task]) -> None:
        """Measure every task that has no row yet or whose row failed, and print all rows."""
        known = self.measurements.measured_before(tasks)
        columns = rows.columns(self.chosen, [model for model, _ in tasks], any(number > 1 for _, number in tasks))
        self._describe(tasks, len(known))
        self.console.line()
        self.console.line(table.heading(columns))
        for position, task in enumerate(tasks, start=1):
            if task not in known:
                show_current(f"{position}/{len(tasks)} {task[0]}")
                self.rows[task] = self._measured(*task)
                self._add_efficiency(task)
                self.measurements.write(tasks)
                show_current("")
            self.console.line(rows.line(self.rows[task], columns))

    def _describe(self, tasks: Sequence[Task], known: int) -> None:
        """Print the machine, the data, the folder, and the number of rows that were measured before."""
        self.measurements.describe_machine(self.console)
        data = self.chosen.data or "made-up photographs"
        self.console.fact("data", f"{data} for batches alone and end to end")
        self.console.fact("results", str(self.measurements.folder))
        if known:
            when = min(str(row["date"]) for task in tasks if (row := self.rows.get(task, {})).get("status") == OK)
            note = "" if known < len(tasks) else "; to measure again, give another --out"
            self.console.fact("resumed", f"{known} of {len(tasks)} rows were measured before, from {when}{note}")

    def _measured(self, model: str, processes: int) -> Row:
        """Measure a model in worker processes and return its row, even if the processes fail."""
        row = self.measurements.new_row(model) | {"processes": processes, "compile": self.chosen.compile}
        row |= {"optimizer": self.chosen.optimizer, "classes": self.chosen.classes}
        try:
            names.check_backbone(model)
        except ValueError as error:
            return row | {"error": str(error)}
        before = self._chosen_before(model, processes)
        row = self.measurements.measure(row, Request(model, self.chosen, self.files).fixed(before), processes)
        if before and "choice" in row:
            row["choice"] = "as on fewer processes"
        if "timed_seconds" in row:
            row["overhead_seconds"] = round(row["seconds"] - row["timed_seconds"] - row["warmup_seconds"], 2)
        return row

    def _chosen_before(self, model: str, processes: int) -> dict[str, Any]:
        """Return the settings that `auto` chose for a model on fewer processes.

        With more processes `auto` could choose others, which would distort the efficiency.
        """
        measured = [row for (name, number), row in self.rows.items() if name == model and number < processes]
        row = next((row for row in measured if row["status"] == OK), None)
        if row is None:
            return {}
        found = {"precision": row["precision"], "channels_last": row["channels_last"]}
        # With several processes, gradient buckets would not fit beside the largest batch that fits into a GPU with one.
        on_cpu = self.hardware["device"] == self.hardware["cpu"]
        return found | ({"batch_size": row[f"{self.chosen.modes[0]}_batch_size"]} if on_cpu else {})

    def _add_efficiency(self, task: Task) -> None:
        """Set the efficiency: the speed of n processes divided by n times the speed of one process."""
        row, one = self.rows[task], self.rows.get((task[0], 1), {})
        column = f"{self.chosen.main_mode}_samples_per_sec"
        if column in row and one.get(column):
            row["efficiency"] = round(row[column] / task[1] / one[column], 4)

    def finish(self, tasks: Sequence[Task]) -> int:
        """Draw the picture, print notes on the rows, and return the exit code."""
        from zoo.bench import plot

        found = [self.rows[task] for task in tasks]
        fine = [row for row in found if row["status"] == OK]
        written = ["results.csv", "results.json"]
        if fine:
            plot.draw_throughput(fine, self.measurements.folder / "throughput.svg", self.hardware["device"])
            written.append("throughput.svg")
        self.console.line()
        if note := rows.busy_note(fine):
            self.console.fact("busy", note)
        if len(fine) < len(found):
            self.console.fact("failed", f"{len(found) - len(fine)} of {len(found)} rows: the table says why")
        self.console.fact("results", f"{self.measurements.folder} ({', '.join(written)})")
        return 0 if len(fine) == len(found) else 1
