from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.flags import check_new_file, count, seconds, whole_number


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ZooError) as error:
        call()
    return str(error.value)


def test_whole_numbers() -> None:
    assert (whole_number("--a", "7", 3, 6), whole_number("--a", "0", None, 6), count("--a", "7"), count("--a", None)) == (
        7,
        0,
        7,
        None,
    )
    for text in ("", "-1", "2.5", "x", "٣", "2"):
        line = f"--a: expected a whole number of at least 3, found '{text}' (e.g. --a 6 or auto)"
        assert refused(lambda text=text: whole_number("--a", text, 3, 6, " or auto")) == line
    assert refused(lambda: whole_number("--a", "x", None, 32)) == "--a: expected a whole number, found 'x' (e.g. --a 32)"
    assert refused(lambda: count("--a", "0")) == "--a: expected a whole number above 0, found '0' (e.g. --a 32)"


def test_seconds() -> None:
    assert seconds("--t", "1.5") == 1.5
    for text in ("0", "-1", "inf", "nan", "x"):
        assert refused(lambda text=text: seconds("--t", text)) == f"--t: expected seconds above 0, found '{text}' (e.g. --t 600)"


def test_new_files(tmp_path: Path) -> None:
    check_new_file("--html", tmp_path / "a.HTML", (".html", ".htm"), "page")
    assert "a.txt: not the name of a page (give a name that ends in .html)" in refused(
        lambda: check_new_file("--html", tmp_path / "a.txt", (".html", ".htm"), "page")
    )
    (tmp_path / "b.html").mkdir()
    assert "b.html: is a folder" in refused(lambda: check_new_file("--html", tmp_path / "b.html", (".html",), "page"))
    assert "there is no folder" in refused(lambda: check_new_file("--html", tmp_path / "no" / "a.html", (".html",), "page"))
