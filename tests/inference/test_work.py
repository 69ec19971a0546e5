from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import DataError, Stopped, ZooError
from zoo.inference.image_paths import ImagePaths
from zoo.inference.journal import journal_of
from zoo.inference.work import ROWS, Tally, batched, to_console, to_file, to_json

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
    with pytest.raises(Stopped, match=r"after 70 rows, all in .*out.csv \(the same command with --resume continues\)"):
        to_file(out, COLUMNS, {}, images, lambda names: rows_of(names, "070.jpg"), resume=False)
    assert len(read(out)) == 70
    tally = to_file(out, COLUMNS, {}, images, rows_of, resume=True)
    assert tally.images == 100
    assert [Path(row["filename"]).stem for row in read(out)] == [f"{number:03}" for number in range(100)]
    assert not journal_of(out).exists()


def test_rows_of_an_interrupted_call_are_not_lost_by_forgetting_to_resume(tmp_path: Path) -> None:
    images, out = paths(tmp_path, 3), tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(out, COLUMNS, {}, images, lambda names: rows_of(names, "002.jpg"), resume=False)
    with pytest.raises(ZooError, match=r"out.csv was interrupted after 2 rows \(continue with --resume; to start over, remove"):
        to_file(out, COLUMNS, {}, images, rows_of, resume=False)
    # With other settings, the rows so far are of no use and are replaced.
    to_file(out, COLUMNS, {"model": "other"}, images, rows_of, resume=False)
    assert len(read(out)) == 3


def test_resume_takes_the_same_paths_only(tmp_path: Path) -> None:
    images, out = paths(tmp_path, 3), tmp_path / "out.csv"
    with pytest.raises(Stopped):
        to_file(out, COLUMNS, {}, images, lambda names: rows_of(names, "002.jpg"), resume=False)
    with pytest.raises(ZooError, match=r"started with other settings: paths"):
        to_file(out, COLUMNS, {}, ImagePaths([str(tmp_path / "000.jpg")]), rows_of, resume=True)


def test_resume_suits_a_loop_that_restarts_until_all_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, out = paths(tmp_path, 3), tmp_path / "out.csv"
    assert to_file(out, COLUMNS, {}, images, rows_of, resume=True).images == 3
    whole = out.stat().st_mtime_ns
    to_file(out, COLUMNS, {}, images, rows_of, resume=True)
    assert "is complete, nothing was changed" in capsys.readouterr().out
    assert out.stat().st_mtime_ns == whole


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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_json_list(tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int) -> None:
    assert to_json(paths(tmp_path, count), rows_of).images == count
    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["filename"]).stem for row in rows] == [f"{number:03}" for number in range(count)]
