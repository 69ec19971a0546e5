"""Check the values of command line flags. Nothing heavy is imported, so that a mistake is reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.errors import ZooError


def whole_number(flag: str, text: str, least: int | None, example: int, more: str = "") -> int:
    """Parse the whole number of a flag.

    Args:
        flag: the flag, for the error.
        text: value of the flag.
        least: smallest allowed number; None for 0, which the error does not mention.
        example: example for the error.
        more: other allowed values, for the error, such as ` or auto`.

    Raises:
        ZooError: the text is not a whole number, or the number is too small.
    """
    if not (_is_whole(text) and int(text) >= (least or 0)):
        bound = "" if least is None else f" of at least {least}"
        raise ZooError(flag, f"expected a whole number{bound}, found '{text}'", f"e.g. {flag} {example}{more}")
    return int(text)


def count(flag: str, text: str | None, more: str = "") -> int | None:
    """Parse the positive whole number of a flag; return None if the flag is not given. `more` is as in `whole_number`.

    Raises:
        ZooError: the text is not a whole number above 0.
    """
    if text is None:
        return None
    if not (_is_whole(text) and int(text)):
        raise ZooError(flag, f"expected a whole number above 0, found '{text}'", f"e.g. {flag} 32{more}")
    return int(text)


def seconds(flag: str, text: str) -> float:
    """Parse the number of seconds of a flag.

    Raises:
        ZooError: the text is not a number above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ZooError(flag, f"expected seconds above 0, found '{text}'", f"e.g. {flag} 600")
    return number


def check_new_file(flag: str, path: Path, endings: Sequence[str], kind: str) -> None:
    """Check the path of an output file, before any work.

    Args:
        flag: the flag, for the error.
        path: path of the file.
        endings: allowed file extensions; the error suggests the first.
        kind: kind of file, for the error, such as `page`.

    Raises:
        ZooError: the extension is wrong, the path is a folder, or its parent folder is missing.
    """
    if path.suffix.lower() not in endings:
        raise ZooError(flag, f"{path}: not the name of a {kind}", f"give a name that ends in {endings[0]}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ZooError(flag, f"{path}: {what}", "give the name of a file in a folder that exists")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()
