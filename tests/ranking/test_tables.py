from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from zoo.ranking.leaderboard import Leaderboard, build
from zoo.ranking.tables import as_csv, as_json, as_markdown, as_table, p_text


@pytest.fixture
def board(folder: Path) -> Leaderboard:
    return build([folder])


@pytest.mark.parametrize("width", [200, 140, 100, 60, 40])
def test_the_table_fits_the_terminal(board: Leaderboard, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = as_table(board).partition("\n\n")[0].splitlines()
    assert len(lines) == 5
    # The essential columns stay, even if the terminal is narrower than they are.
    assert max(map(len, lines)) <= max(width, 80)
    assert all(title in lines[0] for title in ("backbone", "test.accuracy, %", "difference", "verdict"))


def test_the_table_shows_percent_points_and_marks(board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, best, alike, *_ = as_table(board).splitlines()
    row = board.rows[1]
    assert row.paired is not None
    assert row.score.deviation is not None
    assert best.split()[1:3] == ["3", f"{100 * board.rows[0].score.mean:.2f}"]
    assert f"{100 * row.score.mean:.2f} ± {100 * row.score.deviation:.2f}" in alike
    assert f"{100 * row.paired.difference:+.2f} (" in alike
    assert "not told apart" in alike


def test_files_have_every_digit(board: Leaderboard) -> None:
    values = json.loads(as_json(board))
    rows = list(csv.DictReader(io.StringIO(as_csv(board))))
    assert [row["name"] for row in rows] == [row["name"] for row in values["rows"]] == [row.name for row in board.rows]
    for text, value, row in zip(rows, values["rows"], board.rows, strict=True):
        assert float(text["test.accuracy"]) == value["score"]["mean"] == row.score.mean
        assert text["verdict"] == value["verdict"] == row.verdict
        assert text["p_adjusted"] == ("" if row.p_adjusted is None else str(row.p_adjusted))
        assert value["folders"] == [str(folder) for folder in row.folders]


def test_markdown_has_a_cell_for_each_column_whatever_a_name_holds(board: Leaderboard) -> None:
    table = as_markdown(board).partition("\n\n")[0].splitlines()
    assert len(table) == 6
    assert {line.replace("\\|", "").count("|") for line in table} == {table[0].count("|")}
    assert "worst\\|<script>" in table[-1]


def test_p_values_are_short() -> None:
    assert [p_text(p) for p in (None, 0.0, 0.0004, 0.0312, 1.0)] == ["", "<0.001", "<0.001", "0.031", "1.000"]
