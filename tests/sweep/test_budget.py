"""Sweeps with a time budget, on stand-in runs and a simulated clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.sweep.grid import Run
from zoo.system.workers import Outcome

# Seconds of a run with 9 epochs: 2 to start, 10 for each epoch, and 2 to end.
WHOLE = 94.0


def better(run: Run, epoch: int) -> float:
    """Return an accuracy that is higher for larger seeds, from the first epoch on."""
    return min(1.0, (epoch + run.seed) / 20)


def statuses(place: Place) -> list[object]:
    return [row["status"] for row in place.rows().values()]


@pytest.mark.parametrize("budget", [300.0, 600.0])
@pytest.mark.parametrize("jobs", [1, 2])
def test_it_ends_in_time_with_the_best_run_finished(place: Place, budget: float, jobs: int) -> None:
    place.pool(accuracy=better, jobs=jobs)
    began = place.clock.now
    assert place.sweep(place.grid(seeds=list(range(9))), budget=budget) == 0
    assert 0.7 * budget < place.clock.now - began <= 1.1 * budget or "stopped" not in statuses(place)
    assert set(statuses(place)) <= {"ok", "stopped"}
    assert place.rows()["test_resnet-seed8"]["status"] == "ok"
    # Rows are in the order of seeds, so the finished runs are those with the larger seeds, which are better.
    rows = list(place.rows().values())
    assert [row["status"] for row in rows] == sorted((row["status"] for row in rows), reverse=True)


def test_all_are_trained_where_there_is_time(place: Place) -> None:
    pool = place.pool()
    began = place.clock.now
    assert place.sweep(place.grid(seeds=[0, 1, 2]), budget=4 * WHOLE) == 0
    assert statuses(place) == ["ok"] * 3
    # Each run is started twice: it pauses after its first look, and then trains to the end.
    assert len(pool.started) == 6
    assert place.clock.now - began < 3 * WHOLE + 3 * 2 + 3


def test_the_first_seed_of_every_backbone_comes_first(place: Place) -> None:
    pool = place.pool()
    place.sweep(place.grid("test_resnet", "test_vit", seeds=[0, 1]), budget=1000.0)
    assert [name for name, _ in pool.started[:4]] == [
        "test_resnet-seed0", "test_vit-seed0", "test_resnet-seed1", "test_vit-seed1",
    ]  # fmt: skip


def test_with_no_time_for_all_one_is_finished(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.pool(accuracy=better)
    began = place.clock.now
    assert place.sweep(place.grid(seeds=list(range(9))), budget=150.0) == 0
    assert statuses(place).count("ok") == 1
    assert place.clock.now - began <= 165
    assert "stopped    8 of 9 runs early for lack of time; a larger --budget resumes them" in capsys.readouterr().out


def test_a_time_too_short_for_any_run_is_kept(place: Place) -> None:
    place.pool()
    began = place.clock.now
    assert place.sweep(place.grid(seeds=[0, 1]), budget=50.0) == 0
    assert place.clock.now - began <= 55
    rows = list(place.rows().values())
    assert [row["status"] for row in rows] == ["stopped", "stopped"]
    assert rows[0]["epochs"] == 4
    assert rows[0]["val.accuracy"] == pytest.approx(0.2)


def test_the_time_of_earlier_commands_counts_and_more_of_it_goes_on(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    grid = place.grid(seeds=list(range(6)))
    place.pool(accuracy=better)
    place.sweep(grid, budget=150.0)
    first = statuses(place)
    again = place.pool(accuracy=better)
    assert place.sweep(grid, budget=150.0) == 0
    assert len(again.started) <= 1
    assert statuses(place) == first
    capsys.readouterr()
    place.pool(accuracy=better)
    assert place.sweep(grid, budget=400.0) == 0
    assert "of it left" in capsys.readouterr().out
    assert statuses(place).count("ok") > first.count("ok")
    last = place.pool(accuracy=better)
    assert place.sweep(grid) == 0
    assert statuses(place) == ["ok"] * 6
    assert all(until is None for _, until in last.started)


def test_runs_that_fail_are_left_out(place: Place) -> None:
    place.pool(outcomes={"test_resnet-seed8": Outcome("oom", "too large")}, accuracy=better)
    assert place.sweep(place.grid(seeds=[6, 7, 8]), budget=250.0) == 1
    rows = place.rows()
    assert (rows["test_resnet-seed8"]["status"], rows["test_resnet-seed7"]["status"]) == ("oom", "ok")


def test_runs_that_failed_in_an_earlier_command_are_tried_again(place: Place) -> None:
    grid = place.grid(seeds=[6, 7, 8])
    # Killed after its first look, when its rows already have the epochs of that look.
    place.pool(accuracy=better)
    place.sweep(grid, budget=100.0)
    place.pool(outcomes={"test_resnet-seed8": Outcome("killed", "killed by SIGKILL")}, accuracy=better)
    assert place.sweep(grid, budget=250.0) == 1
    assert place.rows()["test_resnet-seed8"]["status"] == "killed"
    again = place.pool(accuracy=better)
    assert place.sweep(grid, budget=500.0) == 0
    assert "test_resnet-seed8" in [name for name, _ in again.started]
    assert place.rows()["test_resnet-seed8"]["status"] == "ok"


def test_few_evaluations_make_few_looks(place: Place) -> None:
    pool = place.pool()
    grid = place.grid(seeds=[0, 1, 2], overrides=["eval.every_epochs=5"])
    assert place.sweep(grid, budget=250.0) == 0
    assert {until for _, until in pool.started} <= {5, 9, None}
    assert "ok" in statuses(place)
    assert Path("out/results.csv").exists()
