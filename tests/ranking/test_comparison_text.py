from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.finished_runs import finished_run
from scipy import stats

from zoo.ranking.comparison import Comparison, compare
from zoo.ranking.comparison_text import as_csv, as_json, lines, sentence


def comparison(root: Path, lost: int, won: int, images: int = 400) -> Comparison:
    """Compare two runs: only A is right on `lost` images, only B on `won` images, and both on the rest."""
    first, second = np.ones(images, dtype=bool), np.ones(images, dtype=bool)
    second[:lost] = False
    first[lost : lost + won] = False
    return compare(finished_run(root / "a", first), finished_run(root / "b", second, seed=1))


@pytest.mark.parametrize(
    ("lost", "won", "start"),
    [
        (10, 40, "B is better by 7.50 points (95 % interval 4.06 to 10.87; p < 0.001)"),
        (40, 10, "A is better by 7.50 points (95 % interval 4.06 to 10.87; p < 0.001)"),
        (12, 15, "A and B cannot be told apart on 400 images (+0.75 points from A to B, 95 % interval -1.8"),
        (0, 0, "A and B get the same 400 images right (of 400; p = 1)"),
    ],
)
def test_the_sentence_says_what_it_means(tmp_path: Path, lost: int, won: int, start: str) -> None:
    assert sentence(comparison(tmp_path, lost, won)).startswith(start)


def test_the_console_shows_the_first_flips_and_counts_the_rest(tmp_path: Path) -> None:
    found = comparison(tmp_path, 10, 40)
    text = "\n".join(lines(found))
    assert text.count(".png") == 20
    assert "… 30 more (--out FILE.csv has all)" in text
    assert text.endswith(sentence(found))
    assert [line.split() for line in text.splitlines() if line.startswith(("A right", "A wrong"))] == [
        ["A", "right", "350", "10"], ["A", "wrong", "40", "0"],
    ]  # fmt: skip
    assert "train.seed  0  1" in text


def test_machines_that_differ_are_said(tmp_path: Path) -> None:
    right = np.ones(5, dtype=bool)
    found = compare(finished_run(tmp_path / "a", right), finished_run(tmp_path / "b", right, cpu="Other"))
    assert "trained on AMD EPYC, 2 cores and Other, 2 cores: times are not comparable" in "\n".join(lines(found))
    assert "the recipes are the same" in "\n".join(lines(found))


def test_json_and_csv_have_every_flip(tmp_path: Path) -> None:
    found = comparison(tmp_path, 10, 40)
    values = json.loads(as_json(found))
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert rows == values["flips"]
    assert len(rows) == 50
    assert [row["right"] for row in rows] == ["A"] * 10 + ["B"] * 40
    assert rows[0]["a"] == rows[0]["label"] != rows[0]["b"]
    assert (values["both_right"], values["only_a_right"], values["only_b_right"], values["neither_right"]) == (350, 10, 40, 0)
    assert values["p"] == pytest.approx(stats.binomtest(40, 50).pvalue, abs=1e-9)
    assert values["difference"] == pytest.approx(0.075)
