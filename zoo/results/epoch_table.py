"""The table of epochs on the console, identical in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.system import table
from zoo.system.table import Column, percent

# Each column shows a key of metrics.jsonl, and is wide enough for its longest value.
PROGRESS = (
    Column("epoch", lambda row: f"{row['epoch']:d}", 5),
    Column("step", lambda row: f"{row['step']:d}", 7),
    Column("lr", lambda row: f"{row['lr']:.2e}", 9),
)
SPEED = (
    Column("images/s", lambda row: f"{row['images_per_second']:,.0f}", 9),
    Column("data", lambda row: percent(row["data_share"], 1), 6),
    Column("time", lambda row: f"{row['seconds']:.0f} s", 8),
)
# The splits in the order of their columns; a run has columns only for its own splits.
SPLITS = ("train", "val", "test")


def heading(splits: Sequence[str]) -> str:
    """Return the line of headings; `splits` are the evaluated splits besides train."""
    return table.heading(_columns(splits))


def row(values: Mapping[str, Any], splits: Sequence[str]) -> str:
    """Return the line of one epoch, with a dash for a missing value; `values` is a row of metrics.jsonl."""
    return table.line(values, _columns(splits))


def _columns(splits: Sequence[str]) -> list[Column]:
    scores = [column for split in SPLITS if split in ("train", *splits) for column in _scores(split)]
    return [*PROGRESS, *scores, *SPEED]


def _scores(split: str) -> list[Column]:
    """Return the columns of a split's loss and accuracy."""
    return [
        Column(f"{split} loss", lambda row: f"{row[f'{split}.loss']:.4f}", len(f"{split} loss") + 1),
        Column(f"{split} acc", lambda row: percent(row[f"{split}.accuracy"], 2), len(f"{split} acc") + 1),
    ]
