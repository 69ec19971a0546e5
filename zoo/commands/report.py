"""`zoo report`: write one HTML page of a run or a sweep."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from zoo.errors import ZooError
from zoo.flags import whole_number
from zoo.sweep.folder import STATE
from zoo.system.console import Console

# Default number of worst mistakes on the page of a run.
WORST = "48"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo report`."""
    parser.add_argument("folder", metavar="RUN|SWEEP", type=Path, help="a run folder, finished or not, or the folder of a sweep")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the page (default: report.html in the folder)")
    about = f"number of worst mistakes to show for a run (default {WORST})"
    parser.add_argument("--worst", metavar="N", help=about)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    """Write the page of a run or a sweep; return the exit code.

    Raises:
        ZooError: there is no run in the folder, or the page cannot be written.
    """
    if not options.folder.is_dir():
        raise ZooError(str(options.folder), "no such folder", "give the folder of a run, such as runs/my-photos")
    worst, out = whole_number("--worst", WORST if options.worst is None else options.worst, None, 32), options.out
    of_sweep = (options.folder / STATE).is_file()
    if of_sweep and options.worst is not None:
        raise ZooError("--worst", "the page of a sweep shows no images", f"give one of its runs, {options.folder}/RUN")
    if out is not None:
        check_out(out)
    path = sweep_page(options.folder, out) if of_sweep else run_page(options.folder, out, worst)
    if options.open:
        webbrowser.open(path.absolute().as_uri())
    return 0


def run_page(folder: Path, out: Path | None, worst: int) -> Path:
    """Write the page of a run and print its main results; return its path.

    Raises:
        ZooError: there is no run in the folder, or the page cannot be written.
    """
    from zoo.report.wording import details, headline
    from zoo.training.report import report_run

    console = Console()
    facts, path = report_run(folder, out, worst)
    console.fact("report", f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    console.fact("", headline(facts))
    console.fact("", details(facts))
    return path


def sweep_page(folder: Path, out: Path | None) -> Path:
    """Write the page of a sweep: its leaderboard with a link to the page of each run; return its path.

    Raises:
        ZooError: no run is finished yet, or the page cannot be written.
    """
    from zoo.ranking.page import sentence
    from zoo.sweep.page import write_page

    board, path = write_page(folder, out)
    console = Console()
    console.fact("report", str(path))
    console.fact("", sentence(board))
    return path


def check_out(out: Path) -> None:
    """Check the path of a page, before anything is read.

    Raises:
        ZooError: the path is a folder, or is in a folder that does not exist.
    """
    if out.is_dir():
        raise ZooError("--out", f"{out} is a folder", f"give a file, such as {out / 'report.html'}")
    if not out.parent.is_dir():
        raise ZooError("--out", f"there is no folder {out.parent}", "make it first")
