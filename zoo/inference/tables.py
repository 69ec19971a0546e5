"""Write rows as CSV, JSON lines, Parquet or NumPy arrays: row by row, and only complete files."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from zoo.errors import ZooError
from zoo.system.files import printable, staged, storing
from zoo.system.table import csv_writer

# Rows per group of a Parquet file, which are in memory at a time.
GROUP = 1000
# The column of features, float32 [D]: base64 text in rows, an array in files.
FEATURES = "features"
# Function that yields all rows of a table, from the start at each call.
Rows = Callable[[], Iterator[dict[str, Any]]]


def check_format(out: Path, formats: Sequence[str]) -> None:
    """Check that an output can be written, before anything heavy is imported.

    Raises:
        ZooError: the extension is unknown, its library is missing, or the folder does not exist.
    """
    if out.suffix.lower() not in formats:
        raise ZooError("--out", f"{out.name} does not end in one of {', '.join(formats)}", "the ending sets the format")
    if out.is_dir() or not out.absolute().parent.is_dir():
        what = "is a folder" if out.is_dir() else "the folder of the file does not exist"
        raise ZooError("--out", f"{out}: {what}", "name a file in a folder that exists")
    if out.suffix.lower() == ".parquet":
        from importlib.util import find_spec

        if find_spec("pyarrow") is None:
            raise ZooError("--out", "Parquet files need pyarrow", "pip install pyarrow")


def write_table(out: Path, columns: Sequence[str], rows: Rows, size: int = 0) -> None:
    """Write rows to a file, in the format of its extension; the file is replaced when all rows are written.

    Args:
        out: the file.
        columns: its columns.
        rows: yields all rows, from the start at each call.
        size: approximate size of the rows in bytes.

    Raises:
        StorageError: the file cannot be written.
    """
    write: Callable[[Path, Sequence[str], Rows], None] = {
        ".csv": _write_csv,
        ".jsonl": _write_json_lines,
        ".parquet": _write_parquet,
        ".npz": _write_arrays,
    }[out.suffix.lower()]
    with storing(out, size), staged(out) as staging:
        write(staging, columns, rows)


def csv_lines(file: IO[str], columns: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """Write the headings of a CSV file, and return a function that writes a row."""
    write = csv_writer(file)
    write(columns)
    return lambda row: write([_cell(column, row[column]) for column in columns])


def _write_csv(path: Path, columns: Sequence[str], rows: Rows) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        write = csv_lines(file, columns)
        for row in rows():
            write(row)


def _write_json_lines(path: Path, columns: Sequence[str], rows: Rows) -> None:  # noqa: ARG001
    with open(path, "w", encoding="ascii") as file:
        for row in rows():
            file.write(json_text(row) + "\n")


def _write_parquet(path: Path, columns: Sequence[str], rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    def kind(column: str) -> Any:
        if column == FEATURES:
            return pyarrow.list_(pyarrow.float32())
        texts = column in ("filename", "error") or (column.startswith("label") and ":" not in column)
        return pyarrow.string() if texts else pyarrow.float32()

    schema = pyarrow.schema([(column, kind(column)) for column in columns])
    iterator = rows()
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(iterator, GROUP)):
            values = [{name: _cell(name, value) for name, value in row.items()} for row in group]
            writer.write_table(pyarrow.Table.from_pylist(values, schema))


def _write_arrays(path: Path, columns: Sequence[str], rows: Rows) -> None:  # noqa: ARG001
    """Write `filename` and `error` [N] and `features` float32 [N, D], NaN if an image cannot be read."""
    names, errors, width = [], [], 0
    for row in rows():
        names.append(printable(row["filename"]))
        errors.append(row["error"] or "")
        values = _decoded(row[FEATURES]) if not width else None
        width = len(values) if values is not None else width
    unread = np.full(width, np.nan, "<f4").tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(names), width)}
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
            for row in rows():
                values = _decoded(row[FEATURES])
                file.write(unread if values is None else values.tobytes())
        for name, texts in (("filename", names), ("error", errors)):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.array(texts, dtype=np.str_), allow_pickle=False)  # type: ignore[arg-type]


def encoded(features: np.ndarray) -> str:
    """Return features float32 [D] as base64 text for a row."""
    return base64.b64encode(features.astype("<f4").tobytes()).decode()


def _decoded(text: str | None) -> np.ndarray | None:
    return None if text is None else np.frombuffer(base64.b64decode(text), "<f4")


def _cell(column: str, value: Any) -> Any:
    """Return a value as it is written to a file: features as an array, text so that any program can print it."""
    if column == FEATURES:
        return _decoded(value)
    return printable(value) if isinstance(value, str) else value


def json_text(row: dict[str, Any]) -> str:
    """Return a row as a JSON object."""
    cells = {name: _cell(name, value) for name, value in row.items()}
    return json.dumps({name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in cells.items()})
