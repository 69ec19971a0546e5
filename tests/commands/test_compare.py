"""`zoo compare`, on run folders that are written without training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed
from helpers.finished_runs import finished_run, right_answers


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    first, second = finished_run(tmp_path / "a", right_answers(0)), finished_run(tmp_path / "b", right_answers(1, accuracy=0.5))
    return str(first), str(second)


def test_two_runs(capsys: pytest.CaptureFixture[str], pair: tuple[str, str], tmp_path: Path) -> None:
    text = printed(capsys, "compare", *pair, "--out", str(tmp_path / "flips.csv"))
    assert text.splitlines()[-1].startswith("A is better by ")
    values = json.loads(printed(capsys, "compare", *pair, "--json"))
    with open(tmp_path / "flips.csv", newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == values["flips"]
    assert values["means"] == text.splitlines()[-1]


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], pair: tuple[str, str], tmp_path: Path) -> None:
    other = finished_run(tmp_path / "c", right_answers(0, 50))
    assert "has other test images than" in mistake(capsys, "compare", pair[0], str(other), "--out", str(tmp_path / "x.csv"))
    assert "is not a run" in mistake(capsys, "compare", pair[0], str(tmp_path))
    assert "not the name of a CSV file" in mistake(capsys, "compare", *pair, "--out", "flips.txt")
    assert "there is no folder" in mistake(capsys, "compare", *pair, "--out", str(tmp_path / "none" / "x.csv"))
    assert not (tmp_path / "x.csv").exists()
