"""Confusion matrices: few and many classes, odd names, classes without images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pictures import counts, texts

from zoo.results import confusion
from zoo.results.confusion import draw_confusion


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 40, 100])
def test_confusion_of_few_and_many_classes(tmp_path: Path, classes: int):
    matrix = counts(classes)
    names = [f"class {index}" for index in range(classes)]
    draw_confusion(matrix, names, tmp_path / "confusion.svg", "run, test set")
    shown = texts(tmp_path / "confusion.svg")
    assert {"run, test set", "true class", "predicted class", "recall"} <= set(shown)
    # Every class is named on both axes; if there are more than 40, only some are.
    named = [text for text in shown if text.startswith("class ")]
    assert len(named) == 2 * classes if classes <= 40 else 20 <= len(named) < 2 * classes
    recalls = [f"{row[index] / row.sum():.1%}".replace("%", " %") for index, row in enumerate(matrix)]
    assert [text for text in shown if text in recalls] == (recalls if classes <= 40 else [])
    cells = [text for text in shown if text.isdigit()]
    assert ([str(value) for value in matrix.flat] == cells[: classes**2]) is (classes <= 20)
    assert any(text.startswith(f"{matrix.trace() / matrix.sum():.2%}"[:-1] + " %") for text in shown)


@pytest.mark.parametrize("classes", [3, 50])
def test_classes_without_images(tmp_path: Path, classes: int):
    matrix = counts(classes)
    matrix[1] = 0
    draw_confusion(matrix, [f"c{index}" for index in range(classes)], tmp_path / "one.svg", "run")
    assert ("no images" in texts(tmp_path / "one.svg")) is (classes <= 40)
    draw_confusion(matrix * 0, [f"c{index}" for index in range(classes)], tmp_path / "all.svg", "run")
    assert "none of 0 images in their own class" in texts(tmp_path / "all.svg")


def test_counts_are_readable_on_their_cells():
    white, blue = np.array([255, 255, 255, 255], np.uint8), np.array([8, 48, 107, 255], np.uint8)
    assert (confusion._contrast(white), confusion._contrast(blue)) == ("#000000", "#ffffff")


def test_one_image_is_no_plural(tmp_path: Path):
    draw_confusion(np.array([[1, 0], [0, 0]]), ["a", "b"], tmp_path / "one.svg", "run")
    assert "100.00 % of 1 image in their own class" in texts(tmp_path / "one.svg")
