"""`zoo compare`: two finished runs on the same test images."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.errors import ZooError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo compare`."""
    parser.add_argument("first", metavar="A", type=Path, help="a run")
    parser.add_argument("second", metavar="B", type=Path, help="a run that was scored on the same test images")
    parser.add_argument("--json", action="store_true", help="print JSON, with every digit and every flipped image")
    parser.add_argument("--out", metavar="FILE.csv", type=Path, help="write the flipped images")


def run(options: argparse.Namespace) -> int:
    """Print a comparison of two runs; return the exit code.

    Raises:
        ZooError: one is no finished run, they have different test images, or the file cannot be written.
    """
    check_out(options.out)
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


def check_out(path: Path | None) -> None:
    """Check where the flipped images are to be written.

    Raises:
        ZooError: a wrong ending, a folder, or a missing folder.
    """
    if path is None:
        return
    if path.suffix.lower() != ".csv":
        raise ZooError("--out", f"{path}: not a name of a CSV file", "give a name that ends in .csv")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ZooError("--out", f"{path}: {what}", "give the name of a file in a folder that exists")
