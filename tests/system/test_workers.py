"""Calls in worker processes: their results arrive, and every end of a call is an outcome of one line."""

from __future__ import annotations

import os
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.system import workers
from zoo.system.workers import Outcome, WorkerCall, Workers

# More bytes than any machine has.
TOO_MANY = 1 << 60


def call(function: str, **options: Any) -> tuple[Outcome, dict[str, Any]]:
    results: dict[str, Any] = {}
    outcome = workers.run(WorkerCall(f"helpers.worker_calls:{function}", {"number": 3}, "zoo worker"), results.update, **options)
    return outcome, results


def test_results_arrive_and_the_process_is_another_one_with_its_own_title():
    outcome, results = call("answer")
    assert outcome == Outcome("ok")
    assert results["half"] == 1.5
    assert results["pid"] != os.getpid()
    assert results["title"] == "zoo worker"
    assert not Path(f"/proc/{results['pid']}").exists()


def test_the_variables_of_a_launcher_do_not_reach_a_worker(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert call("answer")[1]["rank"] is None


def test_an_exception_is_its_first_line_and_keeps_the_results_before_it():
    assert call("fail") == (Outcome("failed", "ValueError: first line"), {"before": 1})


def test_a_killed_process_says_by_which_signal():
    assert call("crash")[0] == Outcome("killed", "killed by SIGKILL (not enough memory?)")


def test_a_process_that_leaves_silently_gives_its_code_and_last_line_and_prints_nothing(capfd):
    assert call("leave")[0] == Outcome("failed", "exit code 9: a library says why")
    assert capfd.readouterr().out == ""


def test_a_process_that_hangs_is_killed_in_time():
    outcome, results = call("hang", timeout=1.0)
    assert outcome == Outcome("timeout", "not done within 1 s")
    assert not results or not Path(f"/proc/{results['pid']}").exists()


def test_a_timeout_may_be_longer_than_the_system_can_wait(monkeypatch):
    # Two short waits, and then the answer.
    monkeypatch.setattr(workers, "LONGEST_WAIT", 0.01)
    assert call("answer", timeout=1e12)[0] == Outcome("ok")


def test_several_processes_know_of_each_other_and_the_first_reports():
    outcome, results = call("meet", processes=2)
    assert outcome == Outcome("ok")
    assert (results["RANK"], results["WORLD_SIZE"], results["LOCAL_WORLD_SIZE"]) == ("0", "2", "2")
    assert int(results["MASTER_PORT"]) > 0


def test_of_several_processes_the_one_that_was_killed_is_blamed():
    assert call("crash_or_complain", processes=2)[0].status == "killed"


def calls(*functions: str, log: str = "") -> list[Workers]:
    return [
        Workers(WorkerCall(f"helpers.worker_calls:{name}", {"number": 3}, "zoo worker", log), lambda _: None)
        for name in functions
    ]


def end(workers_at_work: list[Workers]) -> list[Outcome | None]:
    while any(each.outcome is None for each in workers_at_work):
        ready = wait([link for each in workers_at_work for link in each.links], timeout=30)
        assert ready
        for each in workers_at_work:
            each.hear(ready)
    for each in workers_at_work:
        each.close()
    return [each.outcome for each in workers_at_work]


def test_several_calls_go_on_side_by_side():
    outcomes = end(calls("answer", "fail", "crash", "answer"))
    assert [outcome.status for outcome in outcomes if outcome] == ["ok", "failed", "killed", "ok"]


def test_what_a_worker_prints_is_added_to_its_log(tmp_path, capfd):
    log = tmp_path / "a.log"
    log.write_text("before\n")
    assert end(calls("leave", log=str(log))) == [Outcome("failed", "exit code 9: a library says why")]
    assert log.read_text() == "before\na library says why\n"
    assert capfd.readouterr().out == ""


def test_a_worker_that_is_asked_to_stop_may_still_report():
    heard: dict[str, Any] = {}
    with Workers(WorkerCall("helpers.worker_calls:wait_for_a_signal", {}, "zoo worker"), heard.update) as work:
        while "ready" not in heard:
            work.hear(wait(work.links, timeout=30))
        work.ask_to_stop()
        while work.outcome is None:
            work.hear(wait(work.links, timeout=30))
    assert heard["stopped by"] == "SIGTERM"
    assert work.outcome == Outcome("ok")


def build_too_large() -> None:
    try:
        torch.empty(TOO_MANY)
    except RuntimeError:
        raise ValueError("cannot be built") from None


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MANY),
        lambda: torch.nn.Linear(1 << 30, 1 << 30),
        lambda: np.empty(TOO_MANY, dtype=np.uint8),
        lambda: bytearray(TOO_MANY),
        build_too_large,
    ],
)
def test_a_real_lack_of_memory_is_recognized(allocate):
    """torch raises no special error for this on a CPU, so the text decides. This test fails if a new torch changes it."""
    with pytest.raises(BaseException) as error:  # noqa: PT011
        allocate()
    assert workers.outcome_of(error.value).status == "oom"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
            Outcome("oom", "CUDA out of memory. Tried to allocate"),
        ),
        (MemoryError(), Outcome("oom", "out of memory")),
        (RuntimeError("shapes do not match"), Outcome("failed", "RuntimeError: shapes do not match")),
        (ValueError("no memory of it: out of memory"), Outcome("failed", "ValueError: no memory of it: out of memory")),
        (KeyError(), Outcome("failed", "KeyError")),
    ],
)
def test_outcomes_of_exceptions(error, outcome):
    assert workers.outcome_of(error) == outcome
