"""A leaderboard as one self-contained HTML page: no scripts, no requests, and the picture embedded."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.ranking.leaderboard import ALIKE, BASELINE, BEST, Leaderboard, fronts_of, notes_and_facts
from zoo.ranking.picture import alternative_text, draw
from zoo.ranking.tables import columns
from zoo.report.html import render
from zoo.system.console import plural


def html(
    board: Leaderboard, links: Mapping[Path, str] | None = None, title: str = "Leaderboard", notes: Sequence[str] = ()
) -> str:
    """Return the page.

    Args:
        board: the leaderboard.
        links: URL of each run folder's own report, relative to the page; a run without a report is shown without a link.
        title: heading of the page.
        notes: further lines below the table, such as the status of runs that are not on it.
    """
    shown = columns(board)
    rows = [
        {
            "cells": [{"text": column.text(row), "left": column.left} for column in shown],
            "alike": row.verdict in (BEST, BASELINE, ALIKE),
            "runs": [{"name": path.name, "href": (links or {}).get(path, "")} for path in row.folders],
        }
        for row in board.rows
    ]
    values = {
        "title": title,
        "sentence": sentence(board),
        "columns": [{"title": column.title, "left": column.left, "about": column.about} for column in shown],
        "rows": rows,
        "facts": [*notes_and_facts(board), *notes],
        "picture": _picture(board),
        "alternative": alternative_text(board),
    }
    return render(Path(__file__).parent, values)


def sentence(board: Leaderboard) -> str:
    """Return the summary sentence at the top of the page."""
    first = board.rows[0]
    others = [name for name in board.alike if name != board.reference]
    start = f"{first.name} has the best {board.by} of {plural(len(board.rows), 'row')}"
    if not board.images or len(board.rows) == 1:
        return f"{start}."
    if board.reference != first.name:
        return f"{start}; all are compared with {board.reference}."
    return f"{start}; " + (f"{len(others)} cannot be told apart from it." if others else "all others are told apart from it.")


def _picture(board: Leaderboard) -> str:
    """Return the picture as a data URI, or '' if no row can be drawn.

    An image, unlike inline SVG, shares no styles and no ids with the page.
    """
    if not any(rows for _, rows in fronts_of(board.rows)):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaderboard.svg"
        draw(board, path)
        return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
