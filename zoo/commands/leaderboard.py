"""`zoo leaderboard`: rank finished runs, and say which cannot be told apart."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ZooError
from zoo.flags import check_new_file

if TYPE_CHECKING:
    from zoo.ranking.leaderboard import Leaderboard

# The folder of runs, unless a recipe sets another one.
RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo leaderboard`."""
    about = "a run, or a folder that holds runs, up to three levels below (default: runs)"
    parser.add_argument("paths", metavar="DIR|RUN", nargs="*", type=Path, default=[RUNS], help=about)
    about = "order by test.METRIC or val.METRIC, such as val.accuracy (default: test.accuracy)"
    parser.add_argument("--by", metavar="METRIC", help=about)
    about = "what the runs of a row share: backbone and any recipe keys, e.g. backbone,optim.lr (default: backbone)"
    parser.add_argument("--group", metavar="KEYS", default="backbone", help=about)
    parser.add_argument("--baseline", metavar="NAME", help="compare with the row of this name (default: the best)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", action="store_true", help="print Markdown")
    form.add_argument("--csv", action="store_true", help="print CSV, with every digit")
    form.add_argument("--json", action="store_true", help="print JSON, with every digit")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw score against cost as .svg or .png")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write one page with the table and the picture")


def run(options: argparse.Namespace) -> int:
    """Print the leaderboard of some runs; return the exit code.

    Raises:
        ZooError: there is no finished run, the test sets differ, a key is unknown, or a file cannot be written.
    """
    from zoo.ranking import tables
    from zoo.ranking.leaderboard import build

    check_files(options)
    keys = list(dict.fromkeys(key.strip() for key in options.group.split(",") if key.strip()))
    board = build(options.paths, options.by, keys, options.baseline)
    written = write_files(board, options)
    form = "json" if options.json else "csv" if options.csv else "md" if options.md else "table"
    texts = {"json": tables.as_json, "csv": tables.as_csv, "md": tables.as_markdown, "table": tables.as_table}
    print(texts[form](board))
    for line in written:
        print(line, file=sys.stdout if form == "table" else sys.stderr)
    if form == "csv":
        for note in board.notes:
            print(f"note: {note}", file=sys.stderr)
    return 0


def check_files(options: argparse.Namespace) -> None:
    """Check the paths of the files to write, before any work.

    Raises:
        ZooError: a path has the wrong ending, is a folder, or is in a folder that does not exist.
    """
    if options.plot is not None:
        from zoo.results.pareto import check

        check(options.plot)
    if options.html is not None:
        check_new_file("--html", options.html, (".html", ".htm"), "page")


def write_files(board: Leaderboard, options: argparse.Namespace) -> list[str]:
    """Write the picture and the page if requested; return a line for each.

    Raises:
        ZooError: one of them cannot be written.
    """
    written = []
    if options.plot is not None:
        from zoo.ranking.picture import draw

        draw(board, options.plot)
        written.append(f"written: {options.plot}")
    if options.html is not None:
        from zoo.ranking.page import html
        from zoo.system.files import write_file

        try:
            write_file(options.html, html(board))
        except OSError as error:
            raise ZooError("--html", f"{options.html}: cannot be written: {error.strerror}", "give another file") from None
        written.append(f"written: {options.html}")
    return written
