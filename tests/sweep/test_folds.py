"""Cross-validation on stand-in runs; one with real training is in tests/faults/test_kills_of_folds.py."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import mistake
from helpers.sweeps import Place, StandIn

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.results.predictions import HEADER, table_text
from zoo.sweep import folds
from zoo.sweep.grid import Run
from zoo.system.workers import Outcome

FOLDER = Path("runs/tiny-folds")


def recipe(*overrides: str) -> Recipe:
    return load_recipe(Path("tiny.yaml"), ["data.folds=3", *overrides])


def pool(place: Place, **options: Any) -> StandIn:
    """Return a pool of stand-in runs that also write predictions for the images of their fold."""
    found = place.pool(**options)
    end = found.end

    def with_predictions(run: Run, until: int, outcome: Outcome, stopped: str, taken: float) -> Any:
        ended = end(run, until, outcome, stopped, taken)
        number = run.trainable.data.fold
        rows = [
            ("val", f"{number}-{image}", "a", "ab"[image % 2], "0.9", (image + 1) % 2, "0.9") for image in range(4 + number % 2)
        ]
        (run.trainable.output.root / run.name / "predictions.csv").write_text(table_text(HEADER, rows))
        return ended

    found.end = with_predictions  # type: ignore[method-assign]
    place.monkeypatch.setattr(folds, "time", place.clock)
    return found


def test_each_fold_is_a_run_with_a_whole_recipe(place: Place) -> None:
    runs = folds.runs_of(recipe("optim.lr=0.1"))
    assert [run.name for run in runs] == ["fold-0", "fold-1", "fold-2"]
    assert [(run.trainable.data.folds, run.trainable.data.fold, run.trainable.optim.lr) for run in runs] == [
        (3, number, 0.1) for number in range(3)
    ]


def test_all_folds_end_as_one_result(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    started = pool(place).started
    assert folds.train_folds(recipe()) == 0
    assert started == [(f"fold-{number}", None) for number in range(3)]
    with open(FOLDER / "predictions.csv", newline="") as file:
        right = [int(row["correct"]) for row in csv.DictReader(file)]
    found = json.loads((FOLDER / "folds.json").read_text())
    assert (found["images"], found["accuracy"]) == (len(right), sum(right) / len(right)) == (13, 7 / 13)
    lines = capsys.readouterr().out.splitlines()
    assert "folds      3 runs, each validates on another part of the training images" in lines
    assert any(line.split()[:2] == ["fold-2", "ok"] for line in lines)
    assert lines[-2].startswith("accuracy   53.3 % +- 5.8 (3 folds), out of fold 53.8 % of 13 images (95 % interval ")
    assert lines[-1].startswith(f"results    {FOLDER} (folds.json, predictions.csv, ")


def test_the_same_command_trains_what_is_missing_and_another_one_goes_elsewhere(place: Place) -> None:
    pool(place, outcomes={"fold-1": Outcome("killed", "killed by SIGKILL")})
    assert folds.train_folds(recipe()) == 1
    assert not (FOLDER / "folds.json").exists()
    again = pool(place)
    assert folds.train_folds(recipe()) == 0
    assert again.started == [("fold-1", None)]
    before = (FOLDER / "folds.json").read_bytes()
    nothing = pool(place)
    assert folds.train_folds(folds.begun_recipe(FOLDER), FOLDER) == 0
    assert nothing.started == []
    assert (FOLDER / "folds.json").read_bytes() == before
    other = pool(place)
    assert folds.train_folds(recipe("optim.lr=0.1")) == 0
    assert len(other.started) == 3
    assert (Path("runs/tiny-folds-2") / "folds.json").exists()


def test_what_cannot_be_divided_is_refused_before_anything_is_written(place: Place) -> None:
    pool(place)
    with pytest.raises(ZooError, match=r"^data.folds: 500 folds, but only 160 training images \(use fewer folds\)$"):
        folds.train_folds(recipe("data.folds=500"))
    assert not Path("runs").exists()


def test_only_the_folder_of_folds_is_continued(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"settings": {}}')
    with pytest.raises(ZooError, match="is not a cross-validation"):
        folds.begun_recipe(tmp_path)
    (tmp_path / "sweep.json").write_text('{"settings": {}, "recipe": {"name": 3}}')
    with pytest.raises(ZooError, match="is damaged"):
        folds.begun_recipe(tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--folds", "1"], "--folds: expected a whole number of at least 2, found '1' (e.g. --folds 5)"),
        (["--folds", "3", "data.fold=1"], "data.fold: --folds sets it (leave it out)"),
        (["--folds", "3", "--resume", "runs/net"], "--resume: no folds in runs/net (leave it out: the same command continues)"),
        (
            ["--folds", "3", "--plan"],
            "--plan: does not go with several runs (leave it out, or train one fold: data.folds=5 data.fold=0)",
        ),
        (
            ["--folds", "3", "data.val_fraction=0.2"],
            "data.val_fraction: 0.2, but data.folds 3 chooses the validation images (leave it out, or set it to its default 0.1)",
        ),
    ],
)
def test_a_mistake_is_one_line(place: Place, capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    assert mistake(capsys, "train", "tiny.yaml", *words) == f"error: {line}"
    assert not Path("runs").exists()
