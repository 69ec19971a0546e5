"""`zoo bench`: throughput across models, each measured in a process of its own, each row written the moment it is known."""

from __future__ import annotations

import contextlib
import fnmatch
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoo import benchrows
from zoo.benchrows import Row
from zoo.errors import ZooError, nearest
from zoo.models import catalog, names
from zoo.results.folder import RunFolder
from zoo.system import launch, workers
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


def command(options: Mapping[str, Any]) -> int:
    """Do what the command line says; returns the exit code.

    Raises:
        ZooError: bad input.
    """
    if options["compare"] and options["models"]:
        raise ZooError("--compare", f"measures nothing, so {options['models'][0]} is not for it", "give two results.csv alone")
    if options["compare"]:
        from zoo import benchcompare

        for line in benchcompare.lines(*options["compare"]):
            Console().line(line)
        return 0
    if not options["models"]:
        raise ZooError("MODEL", "which models?", "give names, or a pattern such as 'resnet*'")
    chosen = settings(options)
    start = launch.read()
    if start.processes > start.local_processes:
        raise ZooError("launch", "several machines were asked for", "measure each of them by itself")
    processes = counts("--processes", options["processes"] or str(start.processes))
    models, timeout = expand(options["models"]), seconds("--timeout", options["timeout"])
    if not start.main:
        # The first process starts those that measure; a launcher's others have nothing to do.
        return 0
    return run(models, chosen, out=options["out"], timeout=timeout, processes=processes)


def settings(options: Mapping[str, Any]) -> Settings:
    """Check the command line's options.

    Raises:
        ZooError: naming the flag and what it takes.
    """
    mode = _one_of("--mode", options["mode"], ("train", "infer", "both"))
    layout = _one_of("--channels-last", options["channels_last"], ("on", "off", "auto"))
    try:
        optimizer = names.check_optimizer(options["optimizer"])
    except ValueError as error:
        raise ZooError("--optimizer", str(error)) from None
    data = options["data"]
    return Settings(
        modes=("infer", "train") if mode == "both" else (mode,),
        image_size=_count("--image-size", options["image_size"]),
        batch_size=None if options["batch_size"] == "auto" else _count("--batch-size", options["batch_size"], " or auto"),
        precision=_one_of("--precision", options["precision"], ("fp32", "bf16", "fp16", "auto")),
        channels_last={"on": True, "off": False}.get(layout, layout),
        compile=_one_of("--compile", options["compile"], ("on", "off")) == "on",
        steps=_count("--steps", options["steps"]),
        threads=_count("--threads", options["threads"]),
        classes=_count("--classes", options["classes"]) or 1000,
        optimizer=optimizer,
        data=str(Path(data).expanduser().absolute()) if data else None,
    )


def _one_of(flag: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ZooError(flag, f"unknown '{value}'", f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _count(flag: str, value: str | None, more: str = "") -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value)):
        raise ZooError(flag, f"expected a whole number above 0, found '{value}'", f"e.g. {flag} 32{more}")
    return int(value)


def seconds(flag: str, value: str) -> float:
    """A positive number of seconds.

    Raises:
        ZooError: it is none.
    """
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ZooError(flag, f"expected seconds above 0, found '{value}'", f"e.g. {flag} 600")
    return number


def counts(flag: str, value: str) -> list[int]:
    """Numbers of processes, ascending.

    Raises:
        ZooError: one is none.
    """
    return sorted({_count(flag, part.strip()) or 1 for part in value.split(",")})


def expand(patterns: Iterable[str]) -> list[str]:
    """Model names in the order they were given, each once; a pattern stands for the architectures it matches.

    A plain name is taken as it is: an unknown one becomes a row that says so.

    Raises:
        ZooError: a pattern matches nothing.
    """
    models = catalog.architectures()
    found: dict[str, None] = {}
    for pattern in patterns:
        if not any(mark in pattern for mark in "*?["):
            found[pattern] = None
            continue
        # A tag changes the weights and not the work, so only a pattern with a dot asks for tags.
        tagged = (entry.name for entry in catalog.entries() if entry.tag)
        matches = fnmatch.filter(tagged if "." in pattern else models, pattern)
        if not matches:
            close = ", ".join(nearest(pattern.strip("*"), models))
            raise ZooError(f"MODEL {pattern}", "matches no model", f"closest: {close}" if close else "try a shorter one")
        found |= dict.fromkeys(matches)
    return list(found)


# ----------------------------------------------------------------------------------------- run


def run(
    models: Sequence[str],
    chosen: Settings,
    *,
    out: Path | None,
    timeout: float = 600.0,
    processes: Sequence[int] = (1,),
    target: str = "zoo.measure",
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
    from zoo import photographs

    if chosen.data:
        try:
            files = photographs.listed(Path(chosen.data))
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
        self.rows = {benchrows.key(row): row for row in benchrows.read_json(self.folder)}
        self.console = Console()

    def run(self, tasks: Sequence[tuple[str, int]]) -> None:
        """Measure what is not yet known, and print every row."""
        known = [task for task in tasks if self.rows.get(task, {}).get("status") == "ok"]
        width = max(len(model) for model, _ in tasks)
        shown = benchrows.columns(self.chosen.modes, any(number > 1 for _, number in tasks))
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
        self.console.line(benchrows.heading(shown, width))
        for position, task in enumerate(tasks, start=1):
            if task not in known:
                _progress(f"{position}/{len(tasks)} {task[0]}")
                self.rows[task] = self._measured(*task)
                self._efficiency(task)
                benchrows.write(self.folder, self._ordered(tasks))
                _progress("")
            self.console.line(benchrows.line(self.rows[task], shown, width))

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
        from zoo import benchplot

        rows = [self.rows[task] for task in tasks]
        fine = [row for row in rows if row["status"] == "ok"]
        written = ["results.csv", "results.json"]
        if fine:
            benchplot.throughput(fine, self.folder / "throughput.svg", self.hardware["device"])
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
