from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.sweep import pool
from zoo.sweep.grid import Run, at, runs_of
from zoo.sweep.pool import Ended, LocalPool
from zoo.system.workers import Outcome, WorkerCall


@pytest.fixture
def runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    monkeypatch.setattr(pool, "TARGET", "helpers.sweep_calls:train_run")
    Path("out").mkdir()
    return [at(run, Path("out")) for run in runs_of(place.grid(seeds=[0, 1, 2, 3]))]


def all_of(started: LocalPool) -> dict[str, Ended]:
    ended: dict[str, Ended] = {}
    end = time.monotonic() + 30
    while started.running and time.monotonic() < end:
        ended |= {each.run.name: each for each in started.wait(0.2)}
    return ended


def printed(started: LocalPool) -> str:
    """Wait until the first run has printed something, and return it."""
    log = Path("out/logs/test_resnet-seed0.log")
    while not (log.exists() and log.read_text()):
        assert started.wait(0.05) == []
    return log.read_text()


def test_whatever_becomes_of_a_run_is_told(runs: list[Run]) -> None:
    started = LocalPool(jobs=3)
    for run, epoch in zip(runs[:3], (1, 2, 3), strict=True):
        started.start(run, epoch)
    assert started.running == runs[:3]
    found = all_of(started)
    ended = [found[run.name] for run in runs[:3]]
    assert [each.outcome.status for each in ended] == ["ok", "failed", "killed"]
    assert ended[1].outcome.error == "ValueError: why"
    assert Path("out/logs/test_resnet-seed0.log").read_text() == "trained test_resnet-seed0\n"


def test_a_run_that_takes_too_long_is_ended(runs: list[Run]) -> None:
    started = LocalPool(timeout=1.0)
    started.start(runs[0], 4)
    (ended,) = all_of(started).values()
    assert ended.outcome == Outcome("timeout", "not done within 1 s")
    assert ended.seconds >= 1


def test_runs_that_are_asked_to_stop_say_so(runs: list[Run]) -> None:
    started = LocalPool()
    started.start(runs[0], 5)
    printed(started)
    started.ask_to_stop()
    assert all_of(started)[runs[0].name].stopped == "stopped"


@pytest.mark.parametrize(("jobs", "gpus"), [(3, ["GPU-a", "GPU-b", "GPU-a"]), (1, [""])])
def test_runs_at_a_time_are_spread_over_the_gpus(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch, jobs: int, gpus: list[str]
) -> None:
    calls: list[WorkerCall] = []

    class Idle:
        links = ()
        outcome = None

        def __init__(self, call: WorkerCall, receive: object) -> None:
            calls.append(call)

    monkeypatch.setattr(pool, "Workers", Idle)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    started = LocalPool(jobs=jobs)
    for run in runs[:jobs]:
        started.start(run, None)
    assert [call.variables.get("CUDA_VISIBLE_DEVICES", "") for call in calls] == gpus


def test_closing_leaves_nobody_behind(runs: list[Run]) -> None:
    started = LocalPool()
    started.start(runs[0], 4)
    text = printed(started)
    started.close()
    assert started.running == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(text.split()[-1]), 0)
