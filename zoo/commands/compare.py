"""`zoo compare`: compare two finished runs on the same test images."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.errors import ZooError
from zoo.flags import check_new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo compare`."""
    parser.add_argument("first", metavar="A", type=Path, help="a run")
    parser.add_argument("second", metavar="B", type=Path, help="a run that was scored on the same test images")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, with every digit and every image that only one run gets right"
    )
    parser.add_argument("--out", metavar="FILE.csv", type=Path, help="write the images that only one run gets right")


def run(options: argparse.Namespace) -> int:
    """Print a comparison of two runs; return the exit code.

    Raises:
        ZooError: one of them is not a finished run, the test images differ, or the file cannot be written.
    """
    if options.out is not None:
        check_new_file("--out", options.out, (".csv",), "CSV file")
    from zoo.ranking import comparison_text
    from zoo.ranking.comparison import compare

    found = compare(options.first, options.second)
    if options.out is not None:
        from zoo.system.files import write_file

        try:
            write_file(options.out, comparison_text.as_csv(found))
        except OSError as error:
            raise ZooError("--out", f"{options.out}: cannot be written: {error.strerror}", "give another file") from None
    print(comparison_text.as_json(found) if options.json else "\n".join(comparison_text.lines(found)))
    return 0
