"""Print the runs of a sweep and the time that they would take on this machine, without training them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from zoo.sweep.grid import Grid, Run, runs_of
from zoo.sweep.halving import makespan
from zoo.sweep.start import check_data
from zoo.system import table, workers
from zoo.system.console import Console, plural
from zoo.system.progress import show_current, time_left
from zoo.system.table import Column

# The function that forecasts a recipe in a separate process.
TARGET = "zoo.training.forecast:in_worker"
# Maximum seconds of a forecast; it decodes the images if they have not been decoded before.
TIMEOUT = 3600.0
# Options that do not change the time of a run.
NO_COST = (
    "optim.lr",
    "optim.weight_decay",
    "schedule",
    "finetune.layer_decay",
    "finetune.head_lr_scale",
    "train.label_smoothing",
)


def print_plan(grid: Grid, jobs: int) -> int:
    """Forecast each kind of run once, and print all runs.

    Args:
        grid: arguments of the sweep.
        jobs: runs at a time.

    Returns:
        The exit code: 0, or 1 if a run cannot be trained.

    Raises:
        ZooError: bad input.
    """
    runs = runs_of(grid)
    check_data(runs)
    console, width = Console(), max(len(run.name) for run in runs)
    columns = [
        Column("run", lambda row: row["name"], width, left=True),
        Column("time", lambda row: time_left(row["seconds"]), 10),
        Column("images/s", lambda row: f"{row['images_per_second']:,.0f}", 8),
        Column("memory", lambda row: f"{row['peak_memory_mb']:,.0f} MB", 9),
        Column("disk", lambda row: f"{row['disk_bytes'] / 1e6:,.0f} MB", 9),
    ]
    console.line(table.heading(columns))
    known: dict[str, dict[str, Any]] = {}
    rows = []
    for run in runs:
        rows.append(_forecast(run, known))
        console.line(f"{run.name:<{width}} {rows[-1]['error']}" if "error" in rows[-1] else table.line(rows[-1], columns))
    console.line()
    fine = [row for row in rows if "error" not in row]
    _print_sum(console, fine, jobs)
    if len(fine) < len(rows):
        console.fact("failed", f"{len(rows) - len(fine)} of {plural(len(rows), 'run')} cannot be trained: the table says why")
    return 0 if len(fine) == len(rows) else 1


def _print_sum(console: Console, rows: Sequence[dict[str, Any]], jobs: int) -> None:
    """Print the total time and disk space of all runs."""
    seconds = makespan([row["seconds"] for row in rows], jobs)
    disk = sum(row["disk_bytes"] for row in rows)
    pace = "one at a time" if jobs == 1 else f"{jobs} at a time"
    console.fact("plan", f"{plural(len(rows), 'run')}, {pace}: about {time_left(seconds)} here, {disk / 1e9:.1f} GB on disk")


def _forecast(run: Run, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a run. Of runs that differ only in options without a cost, only one is measured."""
    if run.recipe is None:
        return {"name": run.name, "error": f"{run.status}: {run.error}"}
    kind = json.dumps([run.backbone, {key: value for key, value in run.values.items() if not key.startswith(NO_COST)}])
    if kind not in known:
        show_current(f"measuring {run.name}")
        found: dict[str, Any] = {}
        call = workers.WorkerCall(TARGET, {"recipe": run.recipe.model_dump(mode="json")}, f"zoo {run.backbone}")
        outcome = workers.run(call, found.update, timeout=TIMEOUT)
        known[kind] = found if outcome.status == "ok" else {"error": f"{outcome.status}: {outcome.error}"}
        show_current("")
    return known[kind] | {"name": run.name}
