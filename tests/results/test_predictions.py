"""What a model said of each image, as a table."""

from __future__ import annotations

import csv
import io

import pytest
import torch

from zoo.results.predictions import HEADER, Predicted, csv_text

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
