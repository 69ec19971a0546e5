"""The page of a sweep: its leaderboard with links to the runs' own pages, and the status of the runs that are not on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from zoo.errors import ZooError
from zoo.ranking.leaderboard import BACKBONE, Leaderboard, build
from zoo.ranking.page import html
from zoo.report.page import REPORT
from zoo.results.folder import RunFolder
from zoo.results.measured import read_rows
from zoo.sweep.folder import STATE
from zoo.sweep.rows import OK
from zoo.system.files import storing, write_file


def write_page(folder: Path, out: Path | None = None) -> tuple[Leaderboard, Path]:
    """Write the page, and return its leaderboard and its path.

    Args:
        folder: folder of the sweep, which may be unfinished.
        out: path of the page; None for `report.html` in the folder.

    Raises:
        ZooError: no run is finished yet, or a file of the sweep is damaged.
        StorageError: the page cannot be written.
    """
    varied, names = _plan(folder)
    # Read the rows first, so that an unreadable file is reported before the leaderboard is computed.
    left_out = list(_left_out(folder, names))
    board = build([folder], group=(BACKBONE, *varied))
    path = out or folder / REPORT
    pages = {run: run / REPORT for row in board.rows for run in row.folders}
    links = {run: quote(os.path.relpath(page, path.parent)) for run, page in pages.items() if page.is_file()}
    name = folder.resolve().name
    text = html(board, links, "Sweep" if name == "sweep" else f"Sweep {name}", left_out)
    with storing(path, len(text.encode()), todo="free some space, or name another file with --out"):
        write_file(path, text)
    return board, path


def _plan(folder: Path) -> tuple[list[str], list[str]]:
    """Return the options that a sweep varied, and the names of its runs.

    Raises:
        ZooError: the sweep's state file is damaged.
    """
    state = RunFolder(folder).read_json(STATE)
    try:
        return list(state["settings"]["set"]), [str(name) for name in state.get("runs", [])]
    except (KeyError, TypeError, AttributeError):
        raise ZooError(str(folder / STATE), "does not say what was varied", "the sweep is damaged") from None


def _left_out(folder: Path, names: list[str]) -> Iterator[str]:
    """Yield the status of each unfinished run, as `resnet18-seed0: oom: out of memory`.

    Raises:
        ZooError: the file with the rows is damaged.
    """
    rows = {str(row["name"]): row for row in read_rows(folder, "a sweep", "name")}
    for name in [*names, *(name for name in rows if name not in names)]:
        row = rows.get(name, {"status": "not ended yet"})
        if row.get("status") != OK:
            yield ": ".join([name, *(str(row[key]) for key in ("status", "error") if row.get(key))])
