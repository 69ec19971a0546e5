"""The rows of a benchmark: their columns, as CSV and JSON files, and as an aligned table."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.bench.settings import INFER, TRAIN, Settings
from zoo.errors import ZooError
from zoo.results.measured import Row
from zoo.system import table
from zoo.system.table import Column, percent

MODES = (TRAIN, INFER)

# Ratio of the 90th to the 10th percentile of images/s, above which other work must share the machine. Measured: 1.05 to
# 1.4 on an otherwise idle machine; a second busy process takes a third to half of its speed.
BUSY_SPREAD = 1.5
# The verdict of a row that was measured on a busy machine.
BUSY = "busy machine"
# The verdict of a row whose batches take more than half of a training step.
DATA_BOUND = "data-bound"
# The verdict of every other row.
MODEL_BOUND = "model-bound"


def _of_mode(mode: str) -> list[str]:
    """Return the columns of one mode. The first four, like GMACs, have the names and units of timm's benchmark."""
    own = ["samples_per_sec", "step_time", "batch_size", "img_size"]
    spread = ["samples_per_sec_p10", "samples_per_sec_p90", "step_time_p10", "step_time_p90", "steps", "warmup_steps"]
    cost = ["first_step_time", "peak_memory_mb", "tflops", "peak_share"]
    data = ["data_samples_per_sec", "end_to_end_samples_per_sec", "data_share", "verdict"]
    return [f"{mode}_{name}" for name in [*own, *spread, *cost, *data]]


# Samples per second, step times in milliseconds, parameters and activations in millions, memory in MB of 10**6 bytes.
COLUMNS = [
    *("model", "status", "error", "param_count", "gmacs", "infer_gmacs", "infer_macts"),
    *_of_mode(INFER),
    *_of_mode(TRAIN),
    *("data_share", "verdict", "precision", "channels_last", "compile", "choice", "optimizer", "classes"),
    *("processes", "efficiency", "threads", "matrix_tflops", "device", "cpu", "cores", "torch", "timm", "zoo", "python", "date"),
    *("seconds", "timed_seconds", "warmup_seconds", "overhead_seconds"),
]


def verdict(data_share: float, slow: float, fast: float) -> str:
    """Return what limits the speed of a model.

    Args:
        data_share: share of an end-to-end step that is spent on making its batch. The batch is made on the model's device,
            so the times add up, and the larger one limits the speed.
        slow: images/s at the tenth percentile of the steps.
        fast: images/s at the ninetieth percentile.
    """
    if fast > BUSY_SPREAD * slow:
        return BUSY
    return DATA_BOUND if data_share > 0.5 else MODEL_BOUND


def busy_note(rows: Sequence[Row]) -> str:
    """Return a note on the rows that were measured on a busy machine, or '' if there are none."""
    busy = [str(row["model"]) for row in rows if row.get("verdict") == BUSY]
    if not busy:
        return ""
    many = f"{len(busy)} of {len(rows)} rows ({', '.join(busy[:3])}{', …' if len(busy) > 3 else ''})"
    what = f"have no verdict: p90 is more than {BUSY_SPREAD:g} times p10, perhaps because other programs use the machine"
    return f"{many} {what}; measure again with another --out"


# --------------------------------------------------------------------------------------- files


def key(row: Mapping[str, Any]) -> tuple[str, int]:
    """Return the key of a row: the model and the number of processes."""
    return str(row["model"]), int(row.get("processes") or 1)


def read_csv(path: Path) -> list[Row]:
    """Read a `results.csv` of zoo or of timm's benchmark. Numbers are converted, empty cells left out.

    Raises:
        ZooError: the file cannot be read, has no rows, or has no column `model`.
    """
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = [{name: _value(text) for name, text in row.items() if name and text} for row in csv.DictReader(handle)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ZooError("--compare", f"{path} cannot be read: {reason}", "give the results.csv of two benchmarks") from None
    if not rows or not all("model" in row for row in rows):
        raise ZooError("--compare", f"{path} has no rows with a column model", "give the results.csv of two benchmarks")
    return rows


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return {"True": True, "False": False}.get(text, text)
    return value if isinstance(value, int | float) else text


# --------------------------------------------------------------------------------------- table


def number(value: float) -> str:
    """Return a speed in three or more digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def columns(chosen: Settings, models: Sequence[str], scaling: bool) -> list[Column]:
    """Return the columns of the printed table.

    Args:
        chosen: the settings of the benchmark.
        models: names of all models, for the width of the column: rows are printed one by one.
        scaling: whether any model is measured with more than one process.
    """
    main = chosen.main_mode
    shown = [
        Column("params", lambda row: f"{row['param_count']:.2f} M", 8),
        Column("GMACs", lambda row: f"{row['gmacs']:.2f}", 6),
        Column("px", lambda row: row[f"{main}_img_size"], 4),
        Column("batch", lambda row: row[f"{main}_batch_size"], 5),
        Column("precision", lambda row: row["precision"] + ("/cl" if row["channels_last"] else ""), 9),
        *[_images(mode) for mode in MODES if mode in chosen.modes],
        Column("memory", lambda row: f"{row[f'{main}_peak_memory_mb']:,.0f} MB", 8),
        Column("of peak", lambda row: percent(row[f"{main}_peak_share"]), 7),
        Column("data", lambda row: percent(row["data_share"]), 5),
        Column("verdict", lambda row: row["verdict"], len(BUSY)),
    ]
    if scaling:
        shown[:0] = [Column("procs", lambda row: row["processes"], 5)]
        shown.append(Column("efficiency", lambda row: percent(row["efficiency"]), 10))
    width = max(len(model) for model in models)
    return [Column("model", lambda row: row["model"], width, left=True), *shown]


def _images(mode: str) -> Column:
    """Return a column with the images per second and their 10th and 90th percentiles."""

    def show(row: Mapping[str, Any]) -> str:
        low, high = row[f"{mode}_samples_per_sec_p10"], row[f"{mode}_samples_per_sec_p90"]
        return f"{number(row[f'{mode}_samples_per_sec']):>7} {f'{number(low)}-{number(high)}':>13}"

    return Column(f"{mode}/s {'p10-p90':>13}", show, 21)


def line(row: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """Return the line of a row, or its status and error if the model could not be measured."""
    if row["status"] == "ok":
        return table.line(row, columns)
    processes = f" ({row['processes']} processes)" if (row.get("processes") or 1) > 1 else ""
    return f"{columns[0].pad(columns[0].cell(row))} {row['status']}{processes}: {row['error']}"
