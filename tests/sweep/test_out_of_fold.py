"""The predictions and figures of all folds together, from the files of their runs."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.finished_runs import CLASSES, finished_run

from zoo.errors import ZooError
from zoo.metrics import interval
from zoo.results.predictions import HEADER, table_text
from zoo.sweep.out_of_fold import gather, write


def fold(folder: Path, files: Sequence[str], right: Sequence[int], **result: object) -> str:
    """Write a finished run with these validation images, and return its name."""
    finished_run(folder, [True], **result)  # type: ignore[arg-type]
    rows = [("val", file, CLASSES[0], CLASSES[1 - hit], "0.9", hit, "0.5") for file, hit in zip(files, right, strict=True)]
    (folder / "predictions.csv").write_text(table_text(HEADER, [*rows, ("test", "t", CLASSES[0], CLASSES[0], "1", 1, "1")]))
    return folder.name


def test_the_figures_are_those_of_the_table(tmp_path: Path) -> None:
    names = [
        fold(tmp_path / "fold-0", ["a", "b", "c,\n"], [1, 1, 0]),
        fold(tmp_path / "fold-1", ["d", "e", "f"], [1, 0, 0]),
        fold(tmp_path / "fold-2", ["g", "h"], [1, 1]),
    ]
    write(tmp_path, gather(tmp_path, names))
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a", "b", "c,\n", "d", "e", "f", "g", "h"]
    assert list(rows[0]) == [*HEADER, "fold"]
    found = json.loads((tmp_path / "folds.json").read_text())
    shares = [statistics.fmean(int(row["correct"]) for row in rows if row["fold"] == str(number)) for number in range(3)]
    assert [each["accuracy"] for each in found["folds"]] == shares
    assert [each["images"] for each in found["folds"]] == [3, 3, 2]
    assert (found["version"], found["images"], found["accuracy"]) == (1, 8, 5 / 8)
    assert (found["mean"], found["std"]) == (statistics.fmean(shares), statistics.stdev(shares))
    assert found["ci95"] == list(interval(5 / 8, 8))


def test_folds_of_different_images_are_no_whole(tmp_path: Path) -> None:
    what = "the images changed between the runs of its folds (remove the folder and start again)"
    twice = [fold(tmp_path / "one", ["a", "b"], [1, 1]), fold(tmp_path / "two", ["b", "c"], [1, 1])]
    uneven = [fold(tmp_path / "three", ["a", "b", "c"], [1, 1, 1]), fold(tmp_path / "four", ["d"], [1])]
    for names in (twice, uneven):
        with pytest.raises(ZooError) as error:
            gather(tmp_path, names)
        assert str(error.value) == f"{tmp_path}: {what}"
    other = fold(tmp_path / "other", ["e", "f"], [1, 1], classes=["x", "y", "z"])
    with pytest.raises(ZooError, match="has other classes than fold 0"):
        gather(tmp_path, ["one", other])


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    name = fold(tmp_path / "fold-0", ["a"], [1])
    (tmp_path / "fold-0" / "predictions.csv").write_text("nothing")
    with pytest.raises(ZooError, match=r"fold-0.predictions.csv: cannot be read: its header"):
        gather(tmp_path, [name])
    (tmp_path / "fold-0" / "predictions.csv").write_text(table_text(HEADER, []))
    with pytest.raises(ZooError, match="has no validation images"):
        gather(tmp_path, [name])
    (tmp_path / "fold-0" / "result.json").unlink()
    with pytest.raises(ZooError, match="the run is not finished"):
        gather(tmp_path, [name])
