"""`zoo bench`: throughput across models, each measured in a process of its own, each row written the moment it is known."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoo.bench import rows
from zoo.bench.rows import Row
from zoo.errors import ZooError
from zoo.models import names
from zoo.results.folder import RunFolder
from zoo.system import workers
from zoo.system.console import Console
from zoo.system.hardware import cores, cpu_name, versions

STATE = "benchmark.json"
PACKAGES = ("torch", "timm", "zoo", "python")


@dataclass(frozen=True)
class Settings:
    """How models are measured: rows of other settings are other rows. None leaves it to the machine or the model."""

    modes: tuple[str, ...] = ("infer", "train")
    image_size: int | None = None
    batch_size: int | None = None
    precision: str = "auto"
    channels_last: bool | str = "auto"
    compile: bool = False
    steps: int | None = None
    threads: int | None = None
    classes: int = 1000
    optimizer: str = "sgd"
    data: str | None = None


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
        models: names; unknown ones become rows.
        chosen: how they are measured.
        out: the folder; None goes on with an unfinished benchmark of the same settings, or makes a new folder.
        timeout: seconds that a model may take.
        processes: each model is measured on each of these numbers of processes.
        target: the module that measures.

    Returns:
        The exit code: 0, or 1 if a model could not be measured.

    Raises:
        ZooError: bad input, before anything is measured.
    """
    from zoo.bench import images

    if chosen.data:
        try:
            files = images.listed(Path(chosen.data))
        except ZooError as error:
            raise ZooError("--data", str(error).removeprefix("data.root: ").replace("data.root", "--data")) from None
    else:
        files = []
    _check(out or Path("runs"))
    if len(processes) > 1 and chosen.threads is None:
        # A process is to have the same means whatever their number, or their effect could not be told from it.
        chosen = replace(chosen, threads=max(1, cores() // max(processes)))
    hardware = _hardware(chosen, target)
    asked = {"models": list(models), "processes": list(processes)}
    state = {"settings": asdict(chosen) | {"modes": list(chosen.modes)}, "hardware": hardware, "asked": asked}
    folder = _folder(out, state)
    benchmark = Benchmark(folder, chosen, hardware, files, timeout, target)
    tasks = [(model, number) for model in models for number in processes]
    with RunFolder(folder).held("--out"):
        RunFolder(folder).write_json(STATE, state | {"finished": False})
        benchmark.run(tasks)
        RunFolder(folder).write_json(STATE, state | {"finished": True})
        return benchmark.finish(tasks)


def _hardware(chosen: Settings, target: str) -> dict[str, Any]:
    """What rows depend on besides the settings: device, processor, threads, versions."""
    heard: dict[str, Any] = {}
    outcome = workers.run(workers.WorkerCall(f"{target}:stamp", {}, "zoo bench"), heard.update, timeout=300)
    if outcome.status != "ok":
        raise ZooError("zoo bench", f"no process can be started: {outcome.error}", "is torch installed as it should be?")
    if chosen.precision == "fp16" and heard["device_type"] == "cpu":
        raise ZooError("--precision", "fp16 needs a GPU", "use auto, bf16 or fp32")
    found = versions()
    return {"device": heard["device"], "cpu": cpu_name(), "cores": cores()} | {name: found[name] for name in PACKAGES}


def _check(out: Path) -> None:
    """See that a folder could be written, without making it.

    Raises:
        ZooError: it cannot.
    """
    try:
        RunFolder.check(out)
    except ZooError as error:
        what = str(error).removeprefix("output.root: ").removesuffix(" (choose another)")
        raise ZooError("--out", what, "choose another") from None


def _folder(out: Path | None, state: Mapping[str, Any]) -> Path:
    """The folder to write to.

    Raises:
        ZooError: it cannot be written, or holds rows of other settings or hardware.
    """
    root = Path("runs")
    if out is None:
        for path in sorted(root.glob("bench*")):
            known = _state(path)
            if not known.get("finished", True) and known["asked"] == state["asked"] and not _differences(known, state):
                # One that is being measured at this moment is not gone on with.
                with contextlib.suppress(ZooError), RunFolder(path).held():
                    return path
        return RunFolder.create(root, "bench").path
    folder = out.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{STATE}.tmp").write_text("", encoding="utf-8")
    except OSError as error:
        raise ZooError("--out", f"cannot be written: {folder}: {error.strerror}", "choose another folder") from None
    different = _differences(_state(folder), state)
    if different:
        raise ZooError("--out", f"{folder} holds rows of another kind: {', '.join(different)}", "choose another folder")
    return folder


def _state(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).read_json(STATE) if (folder / STATE).is_file() else {}


def _differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what a folder's rows are not comparable to those of now."""
    return [
        f"{name} {value} -> {now[part].get(name)}"
        for part in ("hardware", "settings")
        for name, value in known.get(part, {}).items()
        if value != now[part].get(name)
    ]


@dataclass
class Benchmark:
    """A benchmark that is running: its folder and the rows so far."""

    folder: Path
    chosen: Settings
    hardware: Mapping[str, Any]
    files: Sequence[str]
    timeout: float
    target: str

    def __post_init__(self) -> None:
        self.rows = {rows.key(row): row for row in rows.read_json(self.folder)}
        self.console = Console()

    def run(self, tasks: Sequence[tuple[str, int]]) -> None:
        """Measure what is not yet known, and print every row."""
        known = [task for task in tasks if self.rows.get(task, {}).get("status") == "ok"]
        width = max(len(model) for model, _ in tasks)
        shown = rows.columns(self.chosen.modes, any(number > 1 for _, number in tasks))
        data = self.chosen.data or "made-up photographs"
        machine = f"{self.hardware['device']}, {self.hardware['cores']} cores"
        self.console.fact("device", f"{machine}, torch {self.hardware['torch']}, timm {self.hardware['timm']}")
        self.console.fact("data", f"{data} for batches alone and end to end")
        self.console.fact("results", str(self.folder))
        if known:
            when = min(str(self.rows[task]["date"]) for task in known)
            note = "" if len(known) < len(tasks) else "; to measure again, give another --out"
            self.console.fact("going on", f"{len(known)} of {len(tasks)} rows were measured before, from {when}{note}")
        self.console.line()
        self.console.line(rows.heading(shown, width))
        for position, task in enumerate(tasks, start=1):
            if task not in known:
                _progress(f"{position}/{len(tasks)} {task[0]}")
                self.rows[task] = self._measured(*task)
                self._efficiency(task)
                rows.write(self.folder, self._ordered(tasks))
                _progress("")
            self.console.line(rows.line(self.rows[task], shown, width))

    def _measured(self, model: str, processes: int) -> Row:
        """Measure a model in processes of its own; whatever becomes of them is a row."""
        row: Row = {"model": model, "status": "unknown", "error": "", "processes": processes, **self.hardware}
        row |= {"compile": self.chosen.compile, "optimizer": self.chosen.optimizer, "classes": self.chosen.classes}
        row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            names.check_backbone(model)
        except ValueError as error:
            return row | {"error": str(error)}
        before = self._before(model, processes)
        asked = {**asdict(self.chosen), **before, "model": model, "files": list(self.files)}
        started = time.perf_counter()
        outcome = workers.run(
            workers.WorkerCall(f"{self.target}:measure", asked, f"zoo {model}"),
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

    def _before(self, model: str, processes: int) -> dict[str, Any]:
        """What `auto` chose for a model on fewer processes: chosen anew, it would be part of the efficiency."""
        rows = [row for (name, number), row in self.rows.items() if name == model and number < processes]
        row = next((row for row in rows if row["status"] == "ok"), None)
        if row is None:
            return {}
        found = {"precision": row["precision"], "channels_last": row["channels_last"]}
        # The largest batch of a GPU would leave no room for the gradients that are on their way.
        on_cpu = self.hardware["device"] == self.hardware["cpu"]
        return found | ({"batch_size": row[f"{self.chosen.modes[0]}_batch_size"]} if on_cpu else {})

    def _efficiency(self, task: tuple[str, int]) -> None:
        """How much of n times one process's speed n processes have."""
        row, one = self.rows[task], self.rows.get((task[0], 1), {})
        column = f"{'train' if 'train' in self.chosen.modes else 'infer'}_samples_per_sec"
        if column in row and one.get(column):
            row["efficiency"] = round(row[column] / task[1] / one[column], 4)

    def _ordered(self, tasks: Sequence[tuple[str, int]]) -> list[Row]:
        """The rows asked for, and after them those of other models that were there."""
        return [self.rows[task] for task in dict.fromkeys([*tasks, *self.rows]) if task in self.rows]

    def finish(self, tasks: Sequence[tuple[str, int]]) -> int:
        """Draw the picture, say how it went, and return the exit code."""
        from zoo.bench import plot

        rows = [self.rows[task] for task in tasks]
        fine = [row for row in rows if row["status"] == "ok"]
        written = ["results.csv", "results.json"]
        if fine:
            plot.draw_throughput(fine, self.folder / "throughput.svg", self.hardware["device"])
            written.append("throughput.svg")
        self.console.line()
        if len(fine) < len(rows):
            self.console.fact("failed", f"{len(rows) - len(fine)} of {len(rows)} rows: the table says why")
        self.console.fact("results", f"{self.folder} ({', '.join(written)})")
        return 0 if len(fine) == len(rows) else 1


def _progress(text: str) -> None:
    """What is being measured now, on a terminal, until its row is printed."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: T201
