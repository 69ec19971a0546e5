"""An evaluation as a folder: written completely or not at all, and never inside a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.errors import StorageError, ZooError
from zoo.inference import evaluation_files
from zoo.inference.evaluation import Evaluation, Unread
from zoo.inference.evaluation_files import NAMES, check_out, write_evaluation
from zoo.training.result import test_scores as scores_of

LOGITS, TARGETS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 0])
CLASSES = ("a", "b", "never seen")
FOUND = Evaluation(
    "m", "photos", "test", "none", CLASSES, scores_of(CLASSES, LOGITS, TARGETS), ["x,1.png", "2.png"], LOGITS, TARGETS,
    unread=(Unread("3.png", "b", "empty file"),),
)  # fmt: skip


def test_everything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    check_out(out, None)
    assert not out.parent.exists(), "a check writes nothing"
    write_evaluation(FOUND, out)
    assert {path.name for path in out.iterdir()} == set(NAMES)
    assert json.loads((out / "eval.json").read_text()) == json.loads(json.dumps(FOUND.values()))
    assert torch.equal(load_file(out / "predictions.safetensors")["logits"], LOGITS)
    with open(out / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["label"], row["predicted"], row["correct"], row["error"]) for row in rows] == [
        ("x,1.png", "a", "a", "1", ""),
        ("2.png", "a", "b", "0", ""),
        ("3.png", "b", "", "", "empty file"),
    ]
    picture = (out / "confusion.svg").read_text()
    assert "never seen" not in picture, "classes without images and predictions are left out"
    check_out(out, None)
    write_evaluation(FOUND, out)


def test_what_fails_leaves_the_earlier_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_evaluation(FOUND, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation_files, "draw_confusion", full)
    with pytest.raises(StorageError, match="cannot be written: No space left on device"):
        write_evaluation(FOUND, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("place", ["", "eval", "model/deep"])
def test_a_run_is_never_written_to(tmp_path: Path, place: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "link").symlink_to(run)
    for root in (run, tmp_path / "link"):
        with pytest.raises(ZooError, match=r"is in the run .*, which must not change"):
            check_out(root / place, run)


def test_other_things_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ZooError, match=r"contains other files: notes.txt \(choose a new or empty folder\)"):
        check_out(tmp_path, None)
    with pytest.raises(ZooError, match="is a file"):
        check_out(tmp_path / "notes.txt", None)
    with pytest.raises(ZooError, match="--out: not a directory"):
        check_out(tmp_path / "notes.txt" / "out", None)


def test_a_table_of_predictions_is_not_taken_for_an_evaluation(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("mine")
    with pytest.raises(ZooError, match=r"contains other files: predictions.csv"):
        check_out(tmp_path, None)
    (tmp_path / "eval.json").write_text("{}")
    check_out(tmp_path, None)
