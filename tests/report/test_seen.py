from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.report.seen import COLUMNS, GAP, LEAST_SIDE, MARGIN, Seen, draw_sheet, labels_of


def of(count: int, side: int) -> Seen:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return Seen(7, 64, pixels, [[("cat", 0.7), ("<dog>", 0.298), ("כלב", 0.002)]] * count, ["train/x/a.png"] * count)


def test_labels_are_the_classes_and_their_shares() -> None:
    assert labels_of(np.array([1, 0]), "ab") == [[("b", 1.0)], [("a", 1.0)]]
    mixed = labels_of(np.array([[0.25, 0.75, 0], [0, 0, 1]], np.float32), "abc")
    assert mixed == [[("b", 0.75), ("a", 0.25)], [("c", 1.0)]]


def test_a_mixed_image_has_a_line_for_each_label() -> None:
    assert of(1, 8).lines(0) == ["cat 70 %", "<dog> 30 %", "כלב < 1 %"]
    assert Seen(0, 1, np.zeros((1, 3, 8, 8), np.uint8), [[("cat", 1.0)]], ["a"]).lines(0) == ["cat"]


@pytest.mark.parametrize(("count", "side"), [(1, 8), (10, 32), (9, 200)])
def test_a_sheet_shows_each_pixel_as_it_is(tmp_path: Path, count: int, side: int) -> None:
    seen = of(count, side)
    draw_sheet(seen, tmp_path / "a.png", "a recipe " * 40)
    sheet = np.asarray(Image.open(tmp_path / "a.png"))
    factor = max(1, -(-LEAST_SIDE // side))
    cell = side * factor
    places = [(row, column) for row in range(MARGIN, sheet.shape[0] - cell) for column in (MARGIN,)]
    first = np.repeat(np.repeat(seen.pixels[0].transpose(1, 2, 0), factor, 0), factor, 1)
    top = next(row for row, left in places if (sheet[row : row + cell, left : left + cell] == first).all())
    if count > 1:
        second = np.repeat(np.repeat(seen.pixels[1].transpose(1, 2, 0), factor, 0), factor, 1)
        left = MARGIN + cell + GAP
        assert (sheet[top : top + cell, left : left + cell] == second).all()
    assert sheet.shape[1] <= 2 * MARGIN + COLUMNS * (cell + GAP)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_is_shown_of_a_step_is_said() -> None:
    assert of(3, 32).about() == "step 7: 3 of 64 images, 32 px"
    assert of(64, 8).about() == "step 7: all 64 images, 8 px"
