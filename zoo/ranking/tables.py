"""Write a leaderboard as an aligned table, Markdown, CSV or JSON. Tables for people are rounded; CSV and JSON are not."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from zoo.ranking.leaderboard import Leaderboard, Row, notes_and_facts
from zoo.results.predictions import table_text
from zoo.system.table import Column, align

# Width, in characters, of a table that is written to a file or a pipe.
WIDE = 200
# Minimum number of characters to which names are shortened.
NARROW = 16
# Metrics that are shares from 0 to 1 and are shown in percent; others are shown unchanged.
SHARES = ("accuracy", "top5", "macro_f1", "ece")
# Titles of columns that are dropped on narrow terminals, in this order.
DROPPED = ("license", "MB", "train/s", "M params", "p", "Pareto", "eval/s", "runs", "minutes", "95 % interval")


class Shown(NamedTuple):
    """A column: its title, the function that returns a row's text, whether it is left-aligned, and its explanation."""

    title: str
    text: Callable[[Row], str]
    left: bool
    about: str


def columns(board: Leaderboard) -> list[Shown]:
    """Return the columns of a board, without those that are empty in all rows."""
    by = board.by
    share = by.rpartition(".")[2] in SHARES
    known = [
        *(Shown(key, lambda row, key=key: row.group[key], True, "what the runs of a row have in common") for key in board.keys),
        Shown("runs", lambda row: str(len(row.seeds)), False, "finished runs, with different seeds"),
        Shown(
            f"{by}, %" if share else by,
            lambda row: _score(row, share=share),
            False,
            "mean and standard deviation of the runs",
        ),
        Shown("95 % interval", lambda row: _interval(row, share=share), False, "by Student's t; Wilson's for one run"),
        Shown("difference", _difference, False, f"in points of test accuracy to {board.reference}, with its 95 % interval"),
        Shown("p", lambda row: p_text(row.p_adjusted), False, "of no difference, after Holm's correction"),
        Shown("verdict", _verdict, True, f"of the comparison with {board.reference}"),
        Shown("minutes", lambda row: f"{row.costs.train_minutes:,.2f}", False, "of training, a run"),
        Shown("train/s", lambda row: f"{row.costs.train_images_per_second:,.0f}", False, "images per second while training"),
        Shown("eval/s", lambda row: _optional(row.costs.eval_images_per_second), False, "images per second while scoring"),
        Shown("MB", lambda row: f"{row.costs.peak_memory_mb:,.0f}", False, "peak memory of training"),
        Shown("M params", lambda row: f"{row.costs.params / 1e6:,.2f}", False, "millions of parameters"),
        Shown("Pareto", lambda row: " ".join(row.pareto), True, "no other row is better in both the score and this cost"),
        Shown("license", lambda row: row.costs.license, True, "of the pretrained weights"),
    ]
    return [column for column in known if any(column.text(row) for row in board.rows)]


def as_table(board: Leaderboard) -> str:
    """Return the board as a table that fits the terminal if possible, followed by the facts and notes."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    facts = [textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) for text in notes_and_facts(board)]
    return "\n".join([*_fitted(board, width), "", *facts])


def as_markdown(board: Leaderboard) -> str:
    """Return the board as a Markdown table with a list below it."""
    shown = columns(board)
    lines = [
        [column.title for column in shown],
        ["---" if column.left else "---:" for column in shown],
        *([column.text(row) for column in shown] for row in board.rows),
    ]
    table = ["| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines]
    return "\n".join([*table, "", *(f"- {_plain(text)}" for text in notes_and_facts(board))])


def as_json(board: Leaderboard) -> str:
    """Return all values of the board as unrounded JSON: fractions, minutes, images/s, and megabytes of 10**6 bytes."""
    return json.dumps(asdict(board), indent=1, ensure_ascii=False, default=str)


def as_csv(board: Leaderboard) -> str:
    """Return the rows as unrounded CSV with a header; missing values are empty cells."""
    rows = [_flat(row, board.by) for row in board.rows]
    return table_text(list(rows[0]), [["" if value is None else value for value in row.values()] for row in rows]).rstrip("\n")


def p_text(p: float | None) -> str:
    """Return a p-value as rounded text; '' for None."""
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def points(share: float, digits: int = 2) -> str:
    """Return a difference of two shares in percentage points, with its sign."""
    return f"{100 * share:+.{digits}f}"


def _flat(row: Row, by: str) -> dict[str, Any]:
    low, high = row.score.interval or (None, None)
    pair = row.paired
    below, above = pair.interval if pair else (None, None)
    return {
        "name": row.name,
        **row.group,
        "runs": len(row.seeds),
        "seeds": " ".join(map(str, row.seeds)),
        by: row.score.mean,
        "deviation": row.score.deviation,
        "interval_low": low,
        "interval_high": high,
        "difference": pair and pair.difference,
        "difference_low": below,
        "difference_high": above,
        "p": pair and pair.p,
        "p_adjusted": row.p_adjusted,
        "test": pair and pair.method,
        "verdict": row.verdict,
        **asdict(row.costs),
        "machines": "; ".join(row.costs.machines),
        "other_machine": bool(row.other_machine),
        "pareto": " ".join(row.pareto),
        "folders": ";".join(map(str, row.folders)),
    }


def _fitted(board: Leaderboard, width: int) -> list[str]:
    """Return the lines of the table; columns are dropped, and names are cut in the middle, until they fit."""
    kept = columns(board)
    names = max(len(kept[0].text(row)) for row in board.rows)
    lines = _aligned(board, kept, None)
    for title in DROPPED:
        over = max(map(len, lines)) - width
        if over <= 0:
            return lines
        # Prefer shortening names a little to dropping a column.
        if names - over >= max(NARROW, names * 3 // 4):
            return _aligned(board, kept, names - over)
        kept = [column for column in kept if column.title != title]
        lines = _aligned(board, kept, None)
    return _aligned(board, kept, max(NARROW, names - max(0, max(map(len, lines)) - width)))


def _aligned(board: Leaderboard, shown: Sequence[Shown], limit: int | None) -> list[str]:
    first, *others = shown
    named = Column(first.title, lambda row: _cut(first.text(row), limit), left=True)
    return align(board.rows, [named, *(Column(one.title, one.text, left=one.left) for one in others)], gap="  ")


def _cut(text: str, limit: int | None) -> str:
    """Shorten a text to at most `limit` characters by cutting its middle, because names differ at both ends."""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[: limit - limit // 2 - 1]}…{text[len(text) - limit // 2 :]}"


def _plain(text: str) -> str:
    """Return a text without line breaks and with `|` escaped, for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _score(row: Row, *, share: bool) -> str:
    middle, spread = row.score.mean, row.score.deviation
    factor, digits = (100, 2) if share else (1, 4)
    return f"{factor * middle:.{digits}f}" + ("" if spread is None else f" ± {factor * spread:.{digits}f}")


def _interval(row: Row, *, share: bool) -> str:
    if row.score.interval is None:
        return ""
    factor, digits = (100, 2) if share else (1, 4)
    low, high = (f"{factor * bound:.{digits}f}" for bound in row.score.interval)
    return f"{low} to {high}"


def _difference(row: Row) -> str:
    if row.paired is None:
        return ""
    low, high = (points(bound) for bound in row.paired.interval)
    return f"{points(row.paired.difference)} ({low} to {high})"


def _verdict(row: Row) -> str:
    return ", ".join(filter(None, [row.verdict, "other machine" if row.other_machine else ""]))


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
