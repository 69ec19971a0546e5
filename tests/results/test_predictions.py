"""The table of a model's predictions, one row for each image."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import torch

from zoo.results.predictions import HEADER, Predicted, csv_text, read_rows

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
SHARES = LOGITS.softmax(1).tolist()


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_row_for_each_image_in_order() -> None:
    parts = [
        Predicted("val", ["a.png", "b.png"], LOGITS, torch.tensor([0, 0])),
        Predicted("test", ["c.png"], LOGITS[:1], torch.tensor([1])),
    ]
    header, *rows = read(csv_text(parts, ["cat", "dog"]))
    assert header == list(HEADER) == ["split", "file", "label", "predicted", "prob", "correct", "label_prob"]
    assert [row[:4] + row[5:6] for row in rows] == [
        ["val", "a.png", "cat", "cat", "1"],
        ["val", "b.png", "cat", "dog", "0"],
        ["test", "c.png", "dog", "cat", "0"],
    ]
    assert [float(row[4]) for row in rows] == pytest.approx([SHARES[0][0], SHARES[1][1], SHARES[0][0]], rel=1e-6)
    assert [float(row[6]) for row in rows] == pytest.approx([SHARES[0][0], SHARES[1][0], SHARES[0][1]], rel=1e-6)


@pytest.mark.parametrize("name", ["a,b.png", 'say "hi".png', "two\nlines.png", "carriage\rreturn", " \u00e9;\t'x", "\\udcff.png"])
def test_any_name_is_read_back(name: str) -> None:
    text = csv_text([Predicted("test", [name], LOGITS[:1], torch.tensor([0]))], [name, "dog"])
    assert read(text)[1][1:4] == [name, name, name]


def test_what_was_written_is_read_with_columns_of_later_versions_left_out(tmp_path: Path) -> None:
    part = Predicted("test", ['a\r"b", c.png', "b.png"], LOGITS, torch.tensor([0, 1]))
    (tmp_path / "p.csv").write_text(csv_text([part], ["cat", "dog"]), encoding="utf-8", newline="")
    rows = list(read_rows(tmp_path / "p.csv"))
    assert [row[1] for row in rows] == ['a\r"b", c.png', "b.png"]
    (tmp_path / "more.csv").write_text(f"{','.join(HEADER)},more\n{','.join(rows[1])},x\n")
    assert list(read_rows(tmp_path / "more.csv")) == rows[1:]
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="its header is not split,file,label"):
        list(read_rows(tmp_path / "other.csv"))
