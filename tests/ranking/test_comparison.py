from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.finished_runs import CLASSES, finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.comparison import compare

FIRST, SECOND = right_answers(0, 100), right_answers(1, 100, 0.7)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    second = finished_run(tmp_path / "b", SECOND, lr=0.01, seed=1, minutes=4.0, speed=None, backbone="resnet50.a1_in1k")
    return finished_run(tmp_path / "a", FIRST), second


def test_images_are_counted_and_flips_are_named(runs: tuple[Path, Path]) -> None:
    found = compare(*runs)
    table = found.table
    assert (table.both, table.first, table.second, table.neither) == (
        (FIRST & SECOND).sum(), (FIRST & ~SECOND).sum(), (~FIRST & SECOND).sum(), (~FIRST & ~SECOND).sum(),
    )  # fmt: skip
    places = np.flatnonzero(FIRST != SECOND)
    assert [flip.file for flip in found.flips] == [f"{CLASSES[place % 3]}/{place:04}.png" for place in places]
    for flip, place in zip(found.flips, places, strict=True):
        assert flip.label == (flip.first if FIRST[place] else flip.second)
        assert flip.first != flip.second
        assert flip.right == ("first" if FIRST[place] else "second")


def test_only_options_that_differ_are_listed(runs: tuple[Path, Path]) -> None:
    options = {one.key: (one.a, one.b) for one in compare(*runs).recipe}
    assert options == {"backbone.name": ("resnet18.tv_in1k", "resnet50.a1_in1k"), "optim.lr": (0.001, 0.01), "train.seed": (0, 1)}


def test_figures_are_ratios_of_the_second_to_the_first(runs: tuple[Path, Path]) -> None:
    figures = {one.name: one for one in compare(*runs).figures}
    assert figures["training minutes"].ratio == 2
    assert figures["parameters, M"].ratio == 1
    assert (figures["inference images/s"].second, figures["inference images/s"].ratio) == (None, None)


def test_a_run_with_itself(runs: tuple[Path, Path]) -> None:
    found = compare(runs[0], runs[0])
    assert (found.table.p, found.table.difference, found.flips, found.recipe) == (1, 0, (), ())


def test_an_earlier_run_takes_the_names_of_the_other(runs: tuple[Path, Path]) -> None:
    expected = compare(*runs)
    (runs[0] / "predictions.csv").unlink()
    assert compare(*runs).flips == expected.flips
    assert compare(*reversed(runs)).table.first == expected.table.second


def test_images_in_another_order_are_matched_by_name(runs: tuple[Path, Path], tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(100)
    names = [f"{CLASSES[place % 3]}/{place:04}.png" for place in order]
    moved = finished_run(tmp_path / "moved", SECOND[order], files=names, labels=(order % 3).tolist())
    assert compare(runs[0], moved).flips == compare(*runs).flips


def test_what_cannot_be_compared_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = finished_run(tmp_path / "c", right_answers(0, 50))
    with pytest.raises(ZooError, match=f"^{other}: has other test images than {runs[0]}: 100 and 50 images"):
        compare(runs[0], other)
    values = json.loads((other / "result.json").read_text())
    (other / "result.json").write_text(json.dumps(values | {"test": None}))
    with pytest.raises(ZooError, match="has no test set to compare on"):
        compare(runs[0], other)
    (other / "result.json").unlink()
    with pytest.raises(ZooError, match=r"not finished \(zoo train --resume"):
        compare(other, runs[0])
    with pytest.raises(ZooError, match="no such folder"):
        compare(tmp_path / "none", runs[0])
