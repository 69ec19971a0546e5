from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sweeps import Place, leave

from zoo.sweep import rows
from zoo.sweep.grid import Run, at, runs_of
from zoo.system.table import heading


@pytest.fixture
def run(place: Place) -> Run:
    Path("out").mkdir()
    (run,) = runs_of(place.grid(seeds=[3], values={"optim.lr": [0.01]}))
    return at(run, Path("out"))


def accuracy(run: Run, epoch: int) -> float:
    return {1: 0.5, 2: 0.75}.get(epoch, 0.25)


def test_a_finished_run_is_ok_whatever_became_of_its_process(run: Run) -> None:
    leave(run, 9, 20.0, accuracy)
    row = rows.row_of(run, Path("out") / run.name, "killed", "killed by SIGKILL")
    assert set(row) == set(rows.columns_of(["optim.lr"]))
    assert (row["status"], row["error"], row["epochs"], row["optim.lr"], row["seed"]) == ("ok", "", 9, 0.01, 3)
    assert (row["test.accuracy"], row["test.low"], row["test.high"]) == (0.25, 0.125, 0.25)
    assert (row["minutes"], row["peak_memory_mb"], row["folder"]) == (3.0, 500.0, f"out/{run.name}")


def test_a_stopped_run_has_the_best_of_its_epochs(run: Run) -> None:
    leave(run, 3, 20.0, accuracy)
    row = rows.row_of(run, Path("out") / run.name, rows.STOPPED)
    assert (row["status"], row["epochs"], row["val.accuracy"], row["minutes"]) == ("stopped", 3, 0.75, 1.0)
    assert "test.accuracy" not in row


def test_a_run_that_left_nothing_or_something_damaged_is_a_row(run: Run) -> None:
    folder = Path("out") / run.name
    assert rows.row_of(run, folder, "failed", "x") == {
        "name": run.name, "backbone": "test_resnet", "seed": 3, "optim.lr": 0.01, "status": "failed", "error": "x",
    }  # fmt: skip
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("{half")
    assert rows.row_of(run, folder, "failed", "x")["folder"] == str(folder)
    (folder / "result.json").write_text("{")
    assert "result.json: cannot be read" in rows.row_of(run, folder)["error"]


def test_lines_are_as_wide_as_their_heading(run: Run) -> None:
    columns = rows.table_columns([run])
    leave(run, 9, 20.0, lambda run, epoch: 1.0)
    line = rows.line(rows.row_of(run, Path("out") / run.name), columns)
    assert len(line) == len(heading(columns))
    assert "100.00 %" in line
    failed = rows.row_of(run, Path("nowhere"), "oom", "too large")
    assert rows.line(failed, columns) == f"{run.name} oom: too large"
    assert rows.line(failed | {"status": "stopped"}, columns).split() == [run.name, "stopped", *"-------"]
