"""The folder of row-by-row measurements: its settings, its rows as CSV and JSON, and the choice of a folder to resume.

`zoo bench` and `zoo scout` measure one model after the other, `zoo sweep` trains them. Every row is written as soon as it is
known, and repeating an interrupted command continues it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import StorageError, ZooError
from zoo.results.folder import RunFolder
from zoo.system.files import expanded
from zoo.system.table import csv_writer

Row = dict[str, Any]
# Where folders are created without `--out`.
ROOT = Path("runs")
# The file with the state of a folder, of each command that writes rows.
STATE_FILES = ("benchmark.json", "scout.json", "sweep.json")
# The parts of a state that rows depend on; rows with different values are never mixed.
COMPARED = ("hardware", "settings")


# --------------------------------------------------------------------------------------- folder


def check_writable(out: Path) -> None:
    """Check that a folder could be written, without creating it.

    Raises:
        ZooError: the folder cannot be written.
    """
    try:
        RunFolder.check(out)
    except ZooError as error:
        raise error.at("--out") from None


def open_folder(out: Path | None, name: str, state_file: str, state: Mapping[str, Any]) -> Path:
    """Return the folder to write to, and create it if needed.

    Args:
        out: the folder; None resumes an unfinished folder with the same state, or creates a new one in `ROOT`.
        name: name of a new folder.
        state_file: the file in the folder that holds its state.
        state: `hardware` and `settings`, which rows depend on, and `asked`, the requested rows.

    Raises:
        ZooError: the folder cannot be written, belongs to another command, or holds rows of other settings or hardware.
    """
    if out is None:
        return _unfinished(name, state_file, state) or RunFolder.create(ROOT, name).path
    folder = expanded(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError("--out", f"cannot be written: {folder}: {error.strerror}", "choose another folder") from None
    # The folder may have existed before without being writable.
    check_writable(folder)
    there = {name for name in ("results.json", state_file, *STATE_FILES) if os.path.exists(folder / name)}
    if there - {"results.json", state_file} or there == {"results.json"}:
        raise ZooError("--out", f"{folder} holds results of another command", "choose another folder")
    different = _differences(_state(folder, state_file), state)
    if different:
        raise ZooError(
            "--out", f"{folder} holds rows with other settings or hardware: {', '.join(different)}", "choose another folder"
        )
    return folder


def _unfinished(name: str, state_file: str, state: Mapping[str, Any]) -> Path | None:
    """Return a folder of unfinished measurements with the same rows, settings and hardware, or None."""
    for path in sorted(ROOT.glob(f"{name}*")):
        try:
            known = _state(path, state_file)
        except ZooError:
            # Measurements with a damaged state file cannot continue.
            continue
        if not known.get("finished", True) and known.get("asked") == state["asked"] and not _differences(known, state):
            # Measurements that are still running hold their folder, and are skipped.
            with contextlib.suppress(ZooError), RunFolder(path).held():
                return path
    return None


def _state(folder: Path, state_file: str) -> dict[str, Any]:
    """Return the state of a folder; empty if it has none.

    Raises:
        ZooError: the state file is damaged.
    """
    if not (folder / state_file).is_file():
        return {}
    known = RunFolder(folder).read_json(state_file)
    if not isinstance(known, dict) or not all(isinstance(known.get(part, {}), dict) for part in COMPARED):
        raise ZooError(str(folder / state_file), "holds no settings", "choose another folder")
    return known


def _differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences in settings and hardware that make a folder's rows incomparable to new rows."""
    return [
        f"{name} {value} -> {now[part].get(name)}"
        for part in COMPARED
        for name, value in known.get(part, {}).items()
        if value != now[part].get(name)
    ]


# ----------------------------------------------------------------------------------------- rows


def write_rows(folder: Path, rows: Sequence[Row], columns: Sequence[str], lists: Sequence[str] = ()) -> None:
    """Write `results.csv` and `results.json`, each atomically.

    Args:
        folder: the folder.
        rows: rows in the order to write.
        columns: columns to write; a row may lack some.
        lists: columns that hold lists, which are left out of the CSV file.

    Raises:
        StorageError: a file cannot be written.
    """
    ordered = [{name: row.get(name) for name in columns} for row in rows]
    run = RunFolder(folder)
    try:
        run.write_json("results.json", ordered)
        run.write("results.csv", csv_text(ordered, [name for name in columns if name not in lists]))
    except StorageError as error:
        what = f"{error.where}: {error.what}"
        raise StorageError("--out", what, "free some space, then give the same command again") from None


def csv_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV with a header; missing values are empty."""
    text = io.StringIO()
    write = csv_writer(text)
    write(columns)
    for row in rows:
        write([_cell(row.get(name)) for name in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value for a CSV cell; mappings and lists become JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def read_rows(folder: Path, kind: str, key: str = "model") -> list[Row]:
    """Read the rows of a folder; empty if there are none yet.

    Args:
        folder: the folder.
        kind: kind of measurement, such as `a sweep`, for errors.
        key: a column that every row has.

    Raises:
        ZooError: its `results.json` is damaged, or holds something else.
    """
    path = folder / "results.json"
    if not path.exists():
        return []
    rows = RunFolder(folder).read_json(path.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and key in row for row in rows):
        raise ZooError("--out", f"{path} holds no rows of {kind}", "choose another folder")
    return rows
