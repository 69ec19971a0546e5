from __future__ import annotations

import pytest

from zoo.system.table import Column, align, heading, line, percent

COLUMNS = [
    Column("model", lambda row: row["model"], left=True),
    Column("images/s", lambda row: f"{row['speed']:,.1f}"),
    Column("note", lambda row: row["note"], left=True),
]


def test_numbers_end_and_texts_begin_where_their_heading_does() -> None:
    rows = [{"model": "resnet18", "speed": 1234.5, "note": "fast"}, {"model": "vit", "speed": 2.0, "note": ""}]
    assert align(rows, COLUMNS, gap="  ") == [
        "model     images/s  note",
        "resnet18   1,234.5  fast",
        "vit            2.0",
    ]


def test_a_dash_stands_where_a_row_has_no_value() -> None:
    assert align([{"model": "vit", "speed": None}], COLUMNS)[1] == "vit          - -"


def test_a_table_without_rows_is_its_headings() -> None:
    assert align([], COLUMNS) == ["model images/s note"]


def test_rows_printed_one_by_one_keep_to_the_widths_of_their_columns() -> None:
    columns = [Column("epoch", lambda row: row["epoch"], 7), Column("loss", lambda row: f"{row['loss']:.2f}", 6)]
    assert heading(columns) == "  epoch   loss"
    assert line({"epoch": 3, "loss": 0.5}, columns) == "      3   0.50"
    # A text that is too long is not cut, but moves the rest of the line.
    assert line({"epoch": 12345678, "loss": 0.5}, columns) == "12345678   0.50"


@pytest.mark.parametrize(
    ("share", "digits", "text"), [(0.979, 2, "97.90 %"), (0.05, 0, "5 %"), (1.0, 1, "100.0 %"), (float("nan"), 1, "nan %")]
)
def test_a_share_is_written_in_percent(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text
