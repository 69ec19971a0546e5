from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pictures import texts
from helpers.reports import RESULT, facts, scored
from PIL import Image

from zoo.report import figures
from zoo.results.result import Result

ROWS: list[dict[str, Any]] = [{"epoch": 1, "step": 2, "lr": 1e-3, "train.loss": 1.0, "train.accuracy": 0.5}]


def body(uri: str, kind: str) -> bytes:
    head, _, rest = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return base64.b64decode(rest)


def shown(tmp_path: Path, uri: str) -> list[str]:
    path = tmp_path / "shown.svg"
    path.write_bytes(body(uri, "svg+xml"))
    return texts(path)


def test_a_finished_runs_own_pictures_are_taken(tmp_path: Path) -> None:
    (tmp_path / "curves.svg").write_bytes(b"own curves")
    (tmp_path / "confusion.svg").write_bytes(b"own matrix")
    done = facts(("a", "b"), scored(2), tmp_path, history=ROWS, result=Result.model_validate(RESULT))
    assert body(figures.curves(done), "svg+xml") == b"own curves"
    assert body(figures.confusion(done, scored(2)), "svg+xml") == b"own matrix"


def test_curves_of_an_earlier_end_are_drawn_anew(tmp_path: Path) -> None:
    (tmp_path / "curves.svg").write_bytes(b"old curves")
    assert "Loss" in shown(tmp_path, figures.curves(facts((), run=tmp_path, history=ROWS)))
    assert figures.curves(facts((), run=tmp_path)) == ""


def test_a_matrix_that_the_run_has_not_drawn_is_drawn(tmp_path: Path) -> None:
    found = shown(tmp_path, figures.confusion(facts(("cat", "dog"), run=tmp_path), scored(2)))
    assert {"cat", "dog", "true class"} <= set(found)


@pytest.mark.parametrize(("classes", "side", "step"), [(201, 201, 1), (1000, 250, 4), (1001, 201, 5)])
def test_a_matrix_of_many_classes_is_small(classes: int, side: int, step: int) -> None:
    found = scored(classes, 5000)
    content = body(figures.confusion(facts([""] * classes), found), "png")
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
    assert picture.shape == (side, side)
    assert figures.cells_per_pixel(classes) == step
    assert len(content) < 100_000
    rows = np.unique(found.labels // step)
    assert np.diagonal(picture)[rows].mean() < picture.mean() - 50  # dark, as four of five are right


def test_certainty_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    found = figures.calibration(scored(2, 1))
    assert any(text.startswith("all: ") for text in shown(tmp_path, found))
    assert figures.calibration(scored(2, 1)) == found
