"""The row of a run, read from its folder, and the printed table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.results.folder import RunFolder
from zoo.results.measured import Row
from zoo.results.result import Result, read_result
from zoo.sweep.grid import Run
from zoo.system import table
from zoo.system.progress import time_left
from zoo.system.table import Column, percent

# The status of a finished run, of a run that is paused while others catch up, and of a run stopped for lack of time.
OK, PAUSED, STOPPED = "ok", "paused", "stopped"
# Columns before and after the varied options. Accuracies are from 0 to 1, minutes are of training, a MB is 10**6 bytes.
FIRST = ("name", "backbone", "seed")
LAST = (
    *("status", "error", "epochs", "val.accuracy", "test.accuracy", "test.low", "test.high"),
    *("minutes", "images_per_second", "peak_memory_mb", "folder"),
)


def columns_of(keys: Sequence[str]) -> list[str]:
    """Return the columns of the result files; `keys` are the varied options."""
    return [*FIRST, *keys, *LAST]


def row_of(run: Run, folder: Path, status: str = "", error: str = "") -> Row:
    """Return the row of a run, read from its folder.

    Args:
        run: the run.
        folder: its folder, which may not exist.
        status: status of the run; a finished run is `ok` in any case.
        error: why it is not finished.
    """
    row: Row = {"name": run.name, "backbone": run.backbone, "seed": run.seed, **run.values, "status": status, "error": error}
    try:
        result = read_result(RunFolder(folder))
    except ZooError as damaged:
        return row | {"status": "failed", "error": str(damaged), "folder": str(folder)}
    if result is not None:
        return row | {"status": OK, "error": ""} | _of_result(result) | {"folder": str(folder)}
    if history := history_of(folder):
        row |= _of_history(history)
    return row | ({"folder": str(folder)} if folder.is_dir() else {})


def _of_result(result: Result) -> Row:
    """Return the columns of a finished run."""
    row: Row = {"epochs": result.epochs, "val.accuracy": result.val.get("accuracy")}
    if result.test is not None:
        row |= {"test.accuracy": result.test.accuracy, "test.low": result.test.ci95[0], "test.high": result.test.ci95[1]}
    train = result.train
    return row | _speed(train.seconds, train.images_per_second) | {"peak_memory_mb": round(train.peak_memory_mb, 1)}


def _of_history(history: Sequence[Mapping[str, Any]]) -> Row:
    """Return the columns of a run that is not finished."""
    seconds = sum(row["seconds"] for row in history)
    images = sum(row["seconds"] * row["images_per_second"] for row in history)
    return {"epochs": len(history), "val.accuracy": best_accuracy(history)} | _speed(seconds, images / seconds)


def _speed(seconds: float, images_per_second: float) -> Row:
    return {"minutes": round(seconds / 60, 3), "images_per_second": round(images_per_second, 1)}


def history_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's epochs; empty if it has none or the file cannot be read."""
    try:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def best_accuracy(history: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the best val accuracy so far; None if none was measured."""
    return max((row["val.accuracy"] for row in history if row.get("val.accuracy") is not None), default=None)


# --------------------------------------------------------------------------------------- table


def table_columns(runs: Sequence[Run]) -> list[Column]:
    """Return the columns of the printed table; widths are fixed, because rows are printed as runs end."""
    width = max(len(run.name) for run in runs)
    return [
        Column("run", lambda row: row["name"], width, left=True),
        Column("status", lambda row: row["status"], 7, left=True),
        Column("epochs", lambda row: f"{row['epochs']:d}", 6),
        Column("val acc", lambda row: percent(row["val.accuracy"], 2), 8),
        Column("test acc", lambda row: percent(row["test.accuracy"], 2), 8),
        Column("95 % interval", _interval, 17),
        Column("time", lambda row: time_left(60 * row["minutes"]), 10),
        Column("images/s", lambda row: f"{row['images_per_second']:,.0f}", 8),
        Column("memory", lambda row: f"{row['peak_memory_mb']:,.0f} MB", 9),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    return f"{100 * row['test.low']:.2f} to {percent(row['test.high'], 2)}"


def line(row: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """Return the line of a row; for a failed run, its status and error."""
    if row["status"] in (OK, PAUSED, STOPPED):
        return table.line(row, columns)
    return f"{columns[0].pad(columns[0].cell(row))} {row['status']}: {row['error']}"
