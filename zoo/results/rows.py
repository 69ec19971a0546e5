"""Rows of results: `results.csv` and `results.json`, which hold the same, for every command that makes one row after another."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import StorageError, ZooError
from zoo.results.folder import RunFolder

# The files, in the order in which they are named to users.
FILES = ("results.csv", "results.json")


def write_rows(folder: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write both files whole: each holds the old rows or the new ones, at any moment.

    Raises:
        StorageError: they cannot be written.
    """
    ordered = [{name: row.get(name) for name in columns} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _cell(value) for name, value in row.items()} for row in ordered])
    run = RunFolder(folder)
    try:
        run.write_json("results.json", ordered)
        run.write("results.csv", text.getvalue())
    except StorageError as error:
        what = f"{error.where}: {error.what}"
        raise StorageError("--out", what, "free some space, then give the same command again") from None


def read_rows(folder: Path, key: str, kind: str) -> list[dict[str, Any]]:
    """Read the rows of a folder; none where it has none yet.

    Args:
        folder: the folder.
        key: a column that every row has.
        kind: names in an error whose rows they should be, such as `a benchmark`.

    Raises:
        ZooError: `results.json` is damaged, or holds something else.
    """
    path = folder / "results.json"
    if not path.exists():
        return []
    rows = RunFolder(folder).read_json(path.name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and key in row for row in rows):
        raise ZooError("--out", f"{path} holds no rows of {kind}", "choose another folder")
    return rows


def _cell(value: Any) -> Any:
    """Return a value as a cell of the CSV file: nothing for None, JSON for what has parts."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else value
