from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from zoo.errors import StorageError, ZooError
from zoo.results.rows import read_rows, write_rows

ROWS = [{"name": 'a, "b"', "value": 0.1, "more": {"kind": "none"}, "other": 1}, {"name": "c", "value": None}]


def test_both_files_hold_the_same_columns_in_order(tmp_path: Path) -> None:
    write_rows(tmp_path, ["value", "name", "more"], ROWS)
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"value": 0.1, "name": 'a, "b"', "more": {"kind": "none"}},
        {"value": None, "name": "c", "more": None},
    ]
    with open(tmp_path / "results.csv", newline="") as file:
        assert list(csv.reader(file)) == [["value", "name", "more"], ["0.1", 'a, "b"', '{"kind": "none"}'], ["", "c", ""]]
    assert [row["name"] for row in read_rows(tmp_path, "name", "a test")] == ['a, "b"', "c"]


def test_a_folder_without_rows_has_none_and_that_of_something_else_is_refused(tmp_path: Path) -> None:
    assert read_rows(tmp_path, "name", "a test") == []
    write_rows(tmp_path, ["model"], [{"model": "x"}])
    with pytest.raises(ZooError, match=r"^--out: .*results.json holds no rows of a test \(choose another folder\)"):
        read_rows(tmp_path, "name", "a test")


def test_what_cannot_be_written_names_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"^--out: .*results.json.* \(free some space, then give the same command again\)"):
        write_rows(tmp_path / "file", ["name"], ROWS)
