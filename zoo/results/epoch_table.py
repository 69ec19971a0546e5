"""The rows of an epoch: they read the same in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# A column of the epoch rows: its heading, its key in metrics.jsonl, how it is written, how wide.
COLUMNS = (
    ("epoch", "epoch", "{:d}", 5),
    ("step", "step", "{:d}", 7),
    ("lr", "lr", "{:.2e}", 9),
    ("train loss", "train.loss", "{:.4f}", 11),
    ("train acc", "train.accuracy", "{:.2%}", 10),
    ("val loss", "val.loss", "{:.4f}", 9),
    ("val acc", "val.accuracy", "{:.2%}", 8),
    ("test loss", "test.loss", "{:.4f}", 10),
    ("test acc", "test.accuracy", "{:.2%}", 9),
    ("images/s", "images_per_second", "{:,.0f}", 9),
    ("data", "data_share", "{:.1%}", 6),
    ("time", "seconds", "{:.0f} s", 8),
)


def heading(splits: Sequence[str]) -> str:
    """The headings of the epoch rows."""
    return " ".join(f"{title:>{width}}" for title, _, _, width in _columns(splits))


def row(values: Mapping[str, Any], splits: Sequence[str]) -> str:
    """One epoch's row."""
    cells = []
    for _, key, form, width in _columns(splits):
        value = values.get(key)
        text = "-" if value is None else form.format(value).replace("%", " %")
        cells.append(f"{text:>{width}}")
    return " ".join(cells)


def _columns(splits: Sequence[str]) -> list[tuple[str, str, str, int]]:
    return [column for column in COLUMNS if "." not in column[1] or column[1].split(".")[0] in ("train", *splits)]
