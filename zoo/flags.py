"""Check the values of command line flags. Nothing heavy is imported, so that a mistake is answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.errors import ZooError


def whole_number(flag: str, text: str, least: int | None, example: int, more: str = "") -> int:
    """Return a flag's whole number.

    Args:
        flag: the flag that an error names.
        text: its value.
        least: the smallest number that it takes; None for 0, of which an error does not speak.
        example: a number that an error gives as an example.
        more: what it takes besides, for the error: ` or auto`.

    Raises:
        ZooError: the text is not a whole number, or below the least.
    """
    if not (_is_whole(text) and int(text) >= (least or 0)):
        bound = "" if least is None else f" of at least {least}"
        raise ZooError(flag, f"expected a whole number{bound}, found '{text}'", f"e.g. {flag} {example}{more}")
    return int(text)


def count(flag: str, text: str | None, more: str = "") -> int | None:
    """Return a flag's whole number; None where the flag is not given. `more` is what it takes besides.

    Raises:
        ZooError: the text is not a whole number above 0.
    """
    if text is None:
        return None
    if not (_is_whole(text) and int(text)):
        raise ZooError(flag, f"expected a whole number above 0, found '{text}'", f"e.g. {flag} 32{more}")
    return int(text)


def seconds(flag: str, text: str) -> float:
    """Return a flag's number of seconds.

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
    """Check where a file is to be written, before any work.

    Args:
        flag: the flag that an error names.
        path: the file.
        endings: those that it may have; an error names the first.
        kind: what the file is, for an error: `page`.

    Raises:
        ZooError: a wrong ending, a folder, or a missing folder.
    """
    if path.suffix.lower() not in endings:
        raise ZooError(flag, f"{path}: not a name of a {kind}", f"give a name that ends in {endings[0]}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ZooError(flag, f"{path}: {what}", "give the name of a file in a folder that exists")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()
