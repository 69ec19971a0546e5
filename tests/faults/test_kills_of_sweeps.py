"""A sweep that is killed at any moment, or loses a worker, and is started again ends with the same bits as an undisturbed one.

A share of the kills runs by default; ZOO_FAULTS=all runs all of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from helpers.faults import harness
from helpers.faults.harness import wait_until
from helpers.faults.sweeping import RECIPE, Sweep, outcomes

pytestmark = pytest.mark.slow

ARGUMENTS = ("tiny.yaml", "test_resnet", "test_vit", "--seeds", "0,1,2", "--out", "sweep")
# Seconds within which all processes of a killed sweep end: a process that is importing libraries first finishes that.
GONE_SECONDS = 60


def place(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


def begun(folder: Path) -> int:
    """Return the number of checkpoints and JSON files of a sweep's runs, which changes while they train."""
    return sum(1 for _ in (folder / "sweep").glob("*/checkpoints/step-*")) + sum(1 for _ in (folder / "sweep").glob("*/*.json"))


def kill_once(sweep: Sweep, folder: Path, draw: random.Random) -> str:
    """Kill the sweep or one of its workers at a random moment; return `sweep` or `worker`, or '' if the sweep ended before."""
    before = begun(folder)
    if draw.random() < 0.7:
        # Kill during training; otherwise, often while libraries are imported or a run is set up.
        wait_until(lambda: begun(folder) != before or sweep.process.poll() is not None, 120)
    time.sleep(draw.uniform(0, 2.5))
    if sweep.process.poll() is not None:
        return ""
    workers = sweep.workers()
    who = "worker" if workers and draw.random() < 0.3 else "sweep"
    sweep.kill(draw.choice(workers) if who == "worker" else None)
    return who


def test_a_killed_sweep_ends_as_one_that_nothing_happened_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = place(tmp_path / "whole")
    undisturbed = Sweep(whole, *ARGUMENTS)
    assert undisturbed.wait() == 0, undisturbed.text
    expected = outcomes(whole / "sweep")
    assert len(expected) == 6
    draw, folder, kills = random.Random(0), place(tmp_path / "killed"), []
    wanted = max(3, 20 // harness.share())
    sweeps = 0
    while len(kills) < wanted:
        sweep = Sweep(folder, *ARGUMENTS)
        who = kill_once(sweep, folder, draw)
        kills += [who] if who else []
        code = sweep.wait()
        assert code == {"": 0, "worker": 1, "sweep": -signal.SIGKILL}[who], sweep.text
        assert wait_until(lambda sweep=sweep: not sweep.processes(), GONE_SECONDS), sweep.text
        if code == 0:
            # The sweep ended before it was killed: start another one.
            assert outcomes(folder / "sweep") == expected
            sweeps += 1
            folder = place(tmp_path / f"killed-{sweeps}")
    last = Sweep(folder, *ARGUMENTS)
    assert last.wait() == 0, last.text
    assert "warning" not in last.text
    assert outcomes(folder / "sweep") == expected
    # The killed sweeps left no other folders than those of the runs.
    assert {path.name for path in (folder / "sweep").iterdir() if path.is_dir()} == {*expected, "logs"}
    with capsys.disabled():
        print(f"\n{len(kills)} kills ({kills.count('worker')} of a worker) in {sweeps + 1} sweeps of 6 runs: the same bits")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_runs_and_the_same_command_goes_on(tmp_path: Path, number: int) -> None:
    folder = place(tmp_path / "place")
    arguments = ("tiny.yaml", "test_resnet", "--seeds", "0,1", "--jobs", "2", "--out", "sweep", "train.epochs=40")
    sweep = Sweep(folder, *arguments)
    runs = [folder / "sweep" / f"test_resnet-seed{seed}" for seed in (0, 1)]
    assert wait_until(lambda: all(any(run.glob("checkpoints/step-*")) for run in runs), 120), sweep.text
    sweep.kill(number=number)
    assert sweep.wait(60) == 75, sweep.text
    said = f"stopped by {signal.Signals(number).name} with 0 of 2 runs ended (the same command continues)"
    assert said in sweep.text
    assert sweep.workers() == []
    assert wait_until(lambda: not sweep.processes(), 10)
    for run in runs:
        log = (folder / "sweep" / "logs" / f"{run.name}.log").read_text()
        assert "stopped by SIGTERM after step" in log
        assert not (run / "result.json").exists()
    state = json.loads((folder / "sweep" / "sweep.json").read_text())
    assert state["finished"] is False
    again = Sweep(folder, *arguments)
    assert wait_until(lambda: "resumed" in again.text, 60), again.text
    log = folder / "sweep" / "logs" / "test_resnet-seed0.log"
    assert wait_until(lambda: "resumed    from " in log.read_text(), 120)
    again.kill()
    again.wait()
    assert wait_until(lambda: not again.processes(), GONE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_while_libraries_are_imported_stops_in_order(tmp_path: Path, number: int) -> None:
    folder = place(tmp_path / "place")
    sweep = Sweep(folder, *ARGUMENTS)
    assert wait_until(lambda: "test_resnet-seed0 starts" in sweep.text, 60)
    time.sleep(0.7)
    # To the whole process group, as a terminal sends Ctrl-C and schedulers send SIGTERM.
    os.killpg(sweep.process.pid, number)
    assert sweep.wait(60) == 75, sweep.text
    assert "Traceback" not in sweep.text
    assert sweep.text.endswith(f"stopped by {signal.Signals(number).name} with 0 of 6 runs ended (the same command continues)\n")
