from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import DataError, Stopped
from zoo.inference.image_paths import ImagePaths
from zoo.inference.journal import journal_of
from zoo.inference.work import ROWS, Tally, batched, to_console, to_file

COLUMNS = ["filename", "label", "error"]


def paths(tmp_path: Path, count: int = 100) -> ImagePaths:
    for number in range(count):
        (tmp_path / f"{number:03}.jpg").touch()
    return ImagePaths([str(tmp_path)])


def rows_of(names: Iterable[str], stop_at: str = "") -> Iterator[dict[str, Any]]:
    for name in names:
        if stop_at and name.endswith(stop_at):
            raise KeyboardInterrupt
        yield {"filename": name, "label": "cat", "error": None}


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_an_interruption_leaves_the_rows_so_far_and_resume_adds_the_rest(tmp_path: Path) -> None:
    images, out = paths(tmp_path), tmp_path / "out.csv"
    with pytest.raises(Stopped, match=r"after 64 rows, all in .*out.csv \(the same command with --resume goes on\)"):
        to_file(out, COLUMNS, {}, images, lambda names: rows_of(names, "070.jpg"), resume=False)
    assert len(read(out)) == 2 * ROWS
    tally = to_file(out, COLUMNS, {}, images, rows_of, resume=True)
    assert tally.images == 100
    assert [Path(row["filename"]).stem for row in read(out)] == [f"{number:03}" for number in range(100)]
    assert not journal_of(out).exists()


def test_a_call_without_resume_starts_anew(tmp_path: Path) -> None:
    images, out = paths(tmp_path, 3), tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(out, COLUMNS, {}, images, lambda names: rows_of(names, "002.jpg"), resume=False)
    to_file(out, COLUMNS, {}, images, rows_of, resume=False)
    assert len(read(out)) == 3


def test_unreadable_and_unsure_images_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for name, label, error in (("a", "cat", None), ("b", None, "truncated"), ("c", None, None), ("d", None, "empty")):
        tally.add({"filename": name, "label": label, "error": error})
    assert (tally.images, tally.unreadable, tally.unsure) == (4, 2, 1)
    with pytest.raises(DataError, match="2 of 4 images could not be read, first: b: truncated"):
        tally.check()
    Tally().check()


def test_rows_are_written_in_groups() -> None:
    groups = [len(group) for group in batched({"row": number} for number in range(2 * ROWS + 1))]
    assert groups == [ROWS, ROWS, 1]


def test_the_console_shows_each(tmp_path: Path) -> None:
    seen: list[str] = []
    to_console(paths(tmp_path, 3), lambda names: iter(list(names)), seen.append)
    assert len(seen) == 3
