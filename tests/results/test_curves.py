"""Learning curves: any number of epochs and splits, and values that are NaN or infinite."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.pictures import SVG, history, texts

from zoo.results import curves
from zoo.results.curves import draw_curves


@pytest.mark.parametrize("epochs", [1, 2, 30])
@pytest.mark.parametrize("splits", [(), ("test",), ("val", "test")])
def test_curves_of_any_length_and_splits(tmp_path: Path, epochs: int, splits: tuple[str, ...]):
    path = tmp_path / "curves.svg"
    draw_curves(history(epochs, *splits), path, "run", selected_epoch=epochs)
    shown = texts(path)
    value = f"{100 * (1 - 0.5 / epochs):.2f} %"
    assert {"run", "Loss", "Accuracy, %", "epoch"} <= set(shown)
    assert {f"{split} {value}" for split in ("train", *splits)} <= set(shown)
    assert f"selected: epoch {epochs}, {splits[0] if splits else 'train'} {value}" in shown
    assert not [text for text in shown if text.startswith(("val ", "test ")) and text.split()[0] not in splits]
    assert [child.name for child in tmp_path.iterdir()] == ["curves.svg"]


def test_epochs_without_evaluation_or_with_values_that_are_no_numbers(tmp_path: Path):
    rows = history(10, "val", every=4)
    rows[3]["val.loss"] = float("nan")
    rows[4]["train.loss"] = float("inf")
    draw_curves(rows, tmp_path / "curves.svg", "run", selected_epoch=5)
    shown = texts(tmp_path / "curves.svg")
    # Epoch 5 was not evaluated, so its label shows the training accuracy.
    assert "selected: epoch 5, train 90.00 %" in shown
    assert "selected: epoch 5" in shown


@pytest.mark.parametrize("rows", [[], [{"epoch": 1}], [{"epoch": 1, "train.loss": 0.0, "train.accuracy": 0.0, "lr": 0.0}]])
def test_curves_of_nothing_or_only_zeros(tmp_path: Path, rows: list[dict[str, float | None]]):
    draw_curves(rows, tmp_path / "curves.svg", "run")
    assert not any(text.startswith("selected") for text in texts(tmp_path / "curves.svg"))


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [1]), (2, [1, 2]), (7, [*range(1, 8)]), (100, [1, *range(10, 101, 10)])])
def test_epoch_ticks_are_whole_and_few(tmp_path: Path, epochs: int, ticks: list[int]):
    draw_curves(history(epochs), tmp_path / "curves.svg", "run")
    axis = ElementTree.parse(tmp_path / "curves.svg").find(f".//{SVG}g[@id='matplotlib.axis_1']")
    assert axis is not None
    assert ["".join(text.itertext()) for text in axis.iter(f"{SVG}text")] == [str(tick) for tick in ticks]


def test_labels_at_the_line_ends_keep_their_distance():
    for wanted in ([50, 50, 50], [99, 100, 100], [0, 1, 2], [10, 90]):
        places = curves._apart(wanted, 12, 100)
        assert all(after - before >= 12 for before, after in pairwise(places))
        assert max(places) <= 100
        assert min(places) >= 0
    assert curves._apart([10, 90], 12, 100) == [10, 90]
