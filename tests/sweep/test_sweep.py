"""Whole sweeps on stand-in runs; tests with real training are in test_one_run.py and in tests/faults."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.errors import Stopped, StorageError, ZooError
from zoo.results.folder import RunFolder
from zoo.sweep import sweep
from zoo.sweep.rows import columns_of
from zoo.system import signals
from zoo.system.workers import Outcome

ALL = ["test_resnet-seed0", "test_resnet-seed1"]


def test_all_runs_end_as_rows_in_the_files(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    pool = place.pool()
    assert place.sweep(place.grid(values={"optim.lr": [0.1, 0.2]})) == 0
    names = [f"test_resnet-lr{lr}-seed{seed}" for lr in ("0.1", "0.2") for seed in (0, 1)]
    assert [name for name, _ in pool.started] == names
    assert pool.closed
    rows = place.rows()
    assert list(rows) == names
    assert all(row["status"] == "ok" for row in rows.values())
    with open("out/results.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == columns_of(["optim.lr"])
    assert (table[0]["name"], table[0]["optim.lr"], table[0]["test.accuracy"]) == (names[0], "0.1", "0.45")
    assert json.loads(Path("out/sweep.json").read_text())["finished"] is True
    printed = capsys.readouterr()
    assert printed.out.startswith("sweep      1 backbone x 2 optim.lr x 2 seeds: 4 runs, one at a time\nresults    out\n")
    assert printed.out.endswith("compare    zoo leaderboard out --group backbone,optim.lr\n")
    assert printed.err.splitlines()[1] == f"{names[1]} starts, 2 of 4"


def test_runs_go_side_by_side(place: Place) -> None:
    place.pool(jobs=2)
    began = place.clock.now
    assert place.sweep(place.grid(seeds=[0, 1, 2, 3])) == 0
    assert place.clock.now - began == pytest.approx(2 * (2 + 90 + 2), abs=2)


def test_what_cannot_be_trained_and_what_fails_are_rows(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.pool(outcomes={ALL[0]: Outcome("oom", "out of memory")})
    assert place.sweep(place.grid("test_resnet", "nothing9")) == 1
    rows = place.rows()
    assert {name: row["status"] for name, row in rows.items()} == {
        ALL[0]: "oom", ALL[1]: "ok", "nothing9-seed0": "unknown", "nothing9-seed1": "unknown",
    }  # fmt: skip
    assert rows[ALL[0]]["error"] == "out of memory"
    out = capsys.readouterr().out
    assert f"{ALL[0]} oom: out of memory\n" in out.replace("  ", " ")
    assert "failed     3 of 4 runs: the table says why, details in out/logs; the same command tries them again\n" in out


def test_the_same_command_keeps_what_is_finished_and_tries_what_failed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.pool(outcomes={ALL[0]: Outcome("killed", "killed by SIGKILL")})
    assert place.sweep(place.grid()) == 1
    before = Path("out", ALL[1], "result.json").stat().st_mtime_ns
    again = place.pool()
    assert place.sweep(place.grid()) == 0
    assert again.started == [(ALL[0], None)]
    assert Path("out", ALL[1], "result.json").stat().st_mtime_ns == before
    assert "resumed    1 of 2 runs ended before" in capsys.readouterr().out
    nothing = place.pool()
    assert place.sweep(place.grid()) == 0
    assert nothing.started == []
    assert [row["status"] for row in place.rows().values()] == ["ok", "ok"]


def test_rows_that_were_lost_are_made_anew_from_the_runs(place: Place) -> None:
    place.pool()
    place.sweep(place.grid())
    rows = place.rows()
    Path("out/results.json").unlink()
    place.sweep(place.grid())
    assert place.rows() == rows


@pytest.mark.parametrize("after", [0, 1])
def test_a_signal_stops_the_runs_and_leaves_no_row_of_them(
    place: Place, after: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = place.pool()
    asked: list[float] = []
    monkeypatch.setattr(pool, "ask_to_stop", lambda: (asked.append(place.clock.now), type(pool).ask_to_stop(pool)))
    # The signal comes in the middle of the first run, or of the second.
    when = place.clock.now + 50 + 100 * after
    monkeypatch.setattr(signals, "requested", lambda: "SIGINT" if place.clock.now > when else "")
    with pytest.raises(Stopped, match=rf"stopped by SIGINT with {after} of 2 runs ended \(the same command continues\)"):
        place.sweep(place.grid())
    assert len(asked) == 1
    assert pool.closed
    assert "failed" not in capsys.readouterr().out
    names = list(place.rows()) if Path("out/results.json").exists() else []
    assert names == ALL[:after]
    assert json.loads(Path("out/sweep.json").read_text())["finished"] is False


def test_a_run_that_was_just_being_started_is_stopped_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = place.pool(outcomes={ALL[0]: Outcome("killed", "killed by SIGTERM")})
    monkeypatch.setattr(pool, "seconds", lambda *_: 0.0)
    monkeypatch.setattr(signals, "requested", lambda: "SIGINT")
    with pytest.raises(Stopped):
        place.sweep(place.grid())
    assert not Path("out/results.json").exists()


def test_a_terminal_shows_how_far_it_has_come(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.pool()
    shown: list[str] = []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(sweep, "show_current", shown.append)
    assert place.sweep(place.grid(seeds=[0, 1, 2])) == 0
    assert shown[0] == "0 of 3: test_resnet-seed0"
    assert "1 of 3, about 3 min left: test_resnet-seed1" in shown
    assert "2 of 3, about 50 s left: test_resnet-seed2" in shown
    assert shown[-1] == ""
    assert capsys.readouterr().err == ""


def test_a_run_that_someone_else_stopped_is_a_row(place: Place) -> None:
    pool = place.pool()
    end = pool.end
    pool.end = lambda run, until, outcome, stopped, taken: end(run, until - 1, outcome, "stopped by SIGTERM after step 9", taken)
    assert place.sweep(place.grid(seeds=[0])) == 1
    (row,) = place.rows().values()
    assert (row["status"], row["error"], row["epochs"]) == ("killed", "stopped by SIGTERM after step 9", 8)


def test_two_sweeps_do_not_work_in_one_folder(place: Place) -> None:
    Path("out").mkdir()
    with RunFolder(Path("out")).held(), pytest.raises(ZooError, match=r"^--out: out in use by pid \d+"):
        place.sweep(place.grid())


def test_a_full_disk_says_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.pool()
    monkeypatch.setattr(RunFolder, "write_json", _full)
    with pytest.raises(StorageError, match=r"free some space"):
        place.sweep(place.grid())


def _full(folder: RunFolder, name: str, value: object) -> None:
    raise StorageError(name, "no space left", "free some space")
