"""The rows of a benchmark: their columns, as CSV and JSON files, and as an aligned table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import StorageError, ZooError
from zoo.results.folder import RunFolder

Row = dict[str, Any]
MODES = ("train", "infer")


def _of_mode(mode: str) -> list[str]:
    """The columns of one mode. The first four, and GMACs, are those of timm's benchmark, in its units."""
    own = ["samples_per_sec", "step_time", "batch_size", "img_size"]
    spread = ["samples_per_sec_p10", "samples_per_sec_p90", "step_time_p10", "step_time_p90", "steps", "warmup_steps"]
    cost = ["first_step_time", "peak_memory_mb", "tflops", "peak_share"]
    data = ["data_samples_per_sec", "end_to_end_samples_per_sec", "data_share", "verdict"]
    return [f"{mode}_{name}" for name in [*own, *spread, *cost, *data]]


# Samples per second, step times in milliseconds, parameters and activations in millions, memory in MB of 10**6 bytes.
COLUMNS = [
    *("model", "status", "error", "param_count", "gmacs", "infer_gmacs", "infer_macts"),
    *_of_mode("infer"),
    *_of_mode("train"),
    *("data_share", "verdict", "precision", "channels_last", "compile", "choice", "optimizer", "classes"),
    *("processes", "efficiency", "threads", "matrix_tflops", "device", "cpu", "cores", "torch", "timm", "zoo", "python", "date"),
    *("seconds", "timed_seconds", "warmup_seconds", "overhead_seconds"),
]


def key(row: Mapping[str, Any]) -> tuple[str, int]:
    """What makes a row another one: the model and the number of processes."""
    return str(row["model"]), int(row.get("processes") or 1)


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write `results.csv` and `results.json` whole: each holds the old rows or the new ones, at any moment.

    Raises:
        StorageError: they cannot be written.
    """
    ordered = [{name: row.get(name) for name in COLUMNS} for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows([{name: "" if value is None else value for name, value in row.items()} for row in ordered])
    run = RunFolder(folder)
    try:
        run.write_json("results.json", ordered)
        run.write("results.csv", text.getvalue())
    except StorageError as error:
        what = str(error).partition(" (")[0].removeprefix(f"{folder}/")
        raise StorageError("--out", f"{folder}: {what}", "free some space, then give the same command again") from None


def read_json(folder: Path) -> list[Row]:
    """The rows of a folder; none where it has none."""
    path = folder / "results.json"
    if not path.exists():
        return []
    rows = RunFolder(folder).read_json(path.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "model" in row for row in rows):
        raise ZooError("--out", f"{path} holds no rows of a benchmark", "choose another folder")
    return rows


def read_csv(path: Path) -> list[Row]:
    """The rows of a `results.csv`, of this project or of timm's benchmark; numbers as numbers, empty cells left out.

    Raises:
        ZooError: it cannot be read, or is no table of models.
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


# ---------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, how wide it is, and what a row shows there."""

    title: str
    width: int
    show: Any

    def cell(self, row: Mapping[str, Any]) -> str:
        """A row's text, right-aligned; a dash where it has no value."""
        try:
            text = self.show(row)
        except (KeyError, TypeError):
            text = "-"
        return f"{text:>{self.width}}"


def _images(mode: str) -> Column:
    """Images per second, and after it the tenth and ninetieth percentile."""

    def show(row: Mapping[str, Any]) -> str:
        low, high = row[f"{mode}_samples_per_sec_p10"], row[f"{mode}_samples_per_sec_p90"]
        return f"{number(row[f'{mode}_samples_per_sec']):>7} {f'{number(low)}-{number(high)}':>13}"

    return Column(f"{mode}/s {'p10-p90':>13}", 21, show)


def number(value: float) -> str:
    """A speed in three or more digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}".replace("%", " %")


def columns(modes: Sequence[str], scaling: bool) -> list[Column]:
    """The columns that a benchmark's table shows, after the model's name."""
    main = "train" if "train" in modes else "infer"
    shown = [
        Column("params", 8, lambda row: f"{row['param_count']:.2f} M"),
        Column("GMACs", 6, lambda row: f"{row['gmacs']:.2f}"),
        Column("px", 4, lambda row: row[f"{main}_img_size"]),
        Column("batch", 5, lambda row: row[f"{main}_batch_size"]),
        Column("precision", 9, lambda row: row["precision"] + ("/cl" if row["channels_last"] else "")),
        *[_images(mode) for mode in MODES if mode in modes],
        Column("memory", 8, lambda row: f"{row[f'{main}_peak_memory_mb']:,.0f} MB"),
        Column("of peak", 7, lambda row: percent(row[f"{main}_peak_share"])),
        Column("data", 5, lambda row: percent(row["data_share"])),
        Column("verdict", 11, lambda row: row["verdict"]),
    ]
    if scaling:
        shown[:0] = [Column("procs", 5, lambda row: row["processes"])]
        shown.append(Column("efficiency", 10, lambda row: percent(row["efficiency"])))
    return shown


def heading(shown: Sequence[Column], names: int) -> str:
    """The line of headings; `names` is the width of the models' column."""
    return f"{'model':<{names}} " + " ".join(f"{column.title:>{column.width}}" for column in shown)


def line(row: Mapping[str, Any], shown: Sequence[Column], names: int) -> str:
    """One row's line; for one that failed, its status and why."""
    if row["status"] != "ok":
        processes = f" ({row['processes']} processes)" if (row.get("processes") or 1) > 1 else ""
        return f"{row['model']:<{names}} {row['status']}{processes}: {row['error']}"
    return f"{row['model']:<{names}} " + " ".join(column.cell(row) for column in shown)
