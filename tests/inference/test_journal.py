from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.inference.journal import Journal, journal_of, skipping

ROWS = [{"filename": f"{number}.jpg", "prob": number / 7} for number in range(5)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def test_rows_come_back_as_they_were(out: Path) -> None:
    journal = Journal(out, {"model": "m"}, resume=False)
    journal.append(ROWS[:2])
    journal.append(ROWS[2:])
    assert list(journal.rows()) == ROWS
    journal.close(whole=True)
    assert not journal_of(out).exists()


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_kill_in_the_middle_of_a_row_loses_that_row_only(out: Path, cut: int) -> None:
    first = Journal(out, {"model": "m"}, resume=False)
    first.append(ROWS)
    first.close(whole=False)
    data = journal_of(out).read_bytes()
    journal_of(out).write_bytes(data[:-cut])
    journal = Journal(out, {"model": "m"}, resume=True)
    there = list(journal.rows())
    assert there == ROWS[: len(there)]
    assert len(there) >= 3
    journal.append(ROWS[len(there) :])
    assert list(journal.rows()) == ROWS
    journal.close(whole=True)


def test_other_settings_are_refused(out: Path) -> None:
    Journal(out, {"model": "m", "columns": 1}, resume=False).close(whole=False)
    with pytest.raises(ZooError, match="started with other settings: model "):
        Journal(out, {"model": "n", "columns": 1}, resume=True)


def test_paths_that_are_done_are_skipped_as_often_as_they_were_done() -> None:
    assert list(skipping(["a", "b", "a", "a", "c"], {"a": 2, "c": 1, "x": 1})) == ["b", "a"]
