from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.leaderboard import build
from zoo.ranking.picture import alternative_text, draw


def texts(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))


def test_every_row_is_named_in_both_panels(folder: Path, tmp_path: Path) -> None:
    board = build([folder])
    draw(board, tmp_path / "board.svg")
    said = texts(tmp_path / "board.svg")
    assert [said.count(name) for name in ("good.tv_in1k", "alike.a1_in1k", "worst|&lt;script&gt;.in1k")] == [2, 2, 2]
    assert "minutes of training, a run" in said
    assert "test accuracy, percent" in said
    assert "on the front by minutes of training, a run: good.tv_in1k, alike.a1_in1k, worse.in1k" in alternative_text(board)


def test_names_do_not_overlap(folder: Path, tmp_path: Path) -> None:
    for number in range(12):
        finished_run(folder / f"same-{number}", right_answers(1), backbone=f"same-{number}")
    draw(build([folder]), tmp_path / "board.svg")
    text = (tmp_path / "board.svg").read_text(encoding="utf-8")
    heights = [float(y) for y in re.findall(r'<text[^>]*y="([\d.]+)"[^>]*>same-\d+<', text)]
    assert len(heights) == 24
    gaps = [after - before for before, after in pairwise(sorted(heights))]
    assert min(gaps) > 9


def test_one_row_and_rows_of_another_machine_are_drawn(folder: Path, tmp_path: Path) -> None:
    draw(build([folder / "good.-0"]), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    finished_run(folder / "away", right_answers(1), backbone="away", cpu="other")
    draw(build([folder]), tmp_path / "two.svg")
    assert "away" not in texts(tmp_path / "two.svg")


def test_a_metric_of_which_less_is_better(folder: Path, tmp_path: Path) -> None:
    draw(build([folder], by="test.loss"), tmp_path / "loss.svg")
    assert "test loss" in texts(tmp_path / "loss.svg")


def test_a_wrong_ending_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"--plot: .*not a supported picture format"):
        draw(build([folder]), tmp_path / "board.pdf")
