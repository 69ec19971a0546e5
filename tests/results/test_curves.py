"""The pictures of a run: whole, well-formed, the same twice, whatever the classes are called."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from zoo.errors import StorageError
from zoo.results import confusion, curves
from zoo.results.confusion import draw_confusion
from zoo.results.curves import draw_curves

SVG = "{http://www.w3.org/2000/svg}"
ODD = ["a&b<c>", "$x$", "日本語", 'quote"s', "50% _{}^\\", "lone\udcff\x01\n", "a very long name of a class that ends in one"]


def history(epochs: int, *splits: str, every: int = 1) -> list[dict[str, float | None]]:
    rows: list[dict[str, float | None]] = []
    for epoch in range(1, epochs + 1):
        row: dict[str, float | None] = {"epoch": epoch, "step": 10 * epoch, "lr": 1e-3 / epoch, "seconds": 1.0}
        for split in ("train", *splits):
            due = split == "train" or epoch % every == 0 or epoch == epochs
            row |= {f"{split}.loss": 2 / epoch if due else None, f"{split}.accuracy": 1 - 0.5 / epoch if due else None}
        rows.append(row)
    return rows


def counts(classes: int) -> np.ndarray:
    """A matrix int64 [C, C] with most on its diagonal."""
    return np.random.default_rng(0).integers(0, 3, (classes, classes)) + 30 * np.eye(classes, dtype=np.int64)


def texts(path: Path) -> list[str]:
    """The texts of a picture; fails where it is not XML."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


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
    # Epoch 5 has no evaluation: what stands there is the training's.
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


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 40, 100])
def test_confusion_of_few_and_many_classes(tmp_path: Path, classes: int):
    matrix = counts(classes)
    names = [f"class {index}" for index in range(classes)]
    draw_confusion(matrix, names, tmp_path / "confusion.svg", "run, test set")
    shown = texts(tmp_path / "confusion.svg")
    assert {"run, test set", "true class", "predicted class", "recall"} <= set(shown)
    # Each name on both axes, or a thinned choice of them.
    named = [text for text in shown if text.startswith("class ")]
    assert len(named) == 2 * classes if classes <= 40 else 20 <= len(named) < 2 * classes
    recalls = [f"{row[index] / row.sum():.1%}".replace("%", " %") for index, row in enumerate(matrix)]
    assert [text for text in shown if text in recalls] == (recalls if classes <= 40 else [])
    cells = [text for text in shown if text.isdigit()]
    assert ([str(value) for value in matrix.flat] == cells[: classes**2]) is (classes <= 20)
    assert any(text.startswith(f"{matrix.trace() / matrix.sum():.2%}"[:-1] + " %") for text in shown)


def test_odd_class_names_stay_text(tmp_path: Path):
    draw_confusion(counts(len(ODD)), ODD, tmp_path / "confusion.svg", "a&b<c> $x$ \x00")
    shown = texts(tmp_path / "confusion.svg")
    assert shown.count("a&b<c>") == shown.count("$x$") == shown.count("日本語") == shown.count("50% _{}^\\") == 2
    assert "lone���" in shown
    assert "a&b<c> $x$ �" in shown
    assert any(text.startswith("a very") and "…" in text and text.endswith("in one") for text in shown)
    draw_curves(history(3), tmp_path / "curves.svg", "<a&b> $\\frac{1}$ " * 20)
    assert any("…" in text and text.startswith("<a&b>") for text in texts(tmp_path / "curves.svg"))


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


def test_written_twice_are_the_same_bytes_and_settings_stay(tmp_path: Path):
    before = dict(matplotlib.rcParams)
    drawn = []
    for name, size in (("one", before["font.size"]), ("two", 31.0)):
        with matplotlib.rc_context({"font.size": size, "lines.linewidth": size}):
            draw_curves(history(5, "val"), tmp_path / f"{name}.svg", "run", selected_epoch=3)
            draw_confusion(counts(4), list("abcd"), tmp_path / f"{name} matrix.svg", "run")
        drawn.append([(tmp_path / f"{name}{rest}.svg").read_bytes() for rest in ("", " matrix")])
    assert drawn[0] == drawn[1]
    assert dict(matplotlib.rcParams) == before


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "curves.svg"
    draw_curves(history(2), path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.system.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        draw_curves(history(2), path, "new")
    assert "old" in texts(path)
    assert [child.name for child in tmp_path.iterdir()] == ["curves.svg"]


def test_importing_is_cheap_and_drawing_leaves_pyplot_alone(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from zoo.results import confusion, curves\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
        f"curves.draw_curves([{{'epoch': 1, 'train.loss': 1.0}}], Path({str(tmp_path / 'c.svg')!r}), 'run')\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
