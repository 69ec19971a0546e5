"""Runs that are killed at any moment and resumed end with the same bits as a run that was not disturbed.

A share of the cases runs by default; ZOO_FAULTS=all runs all of them.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.faults import harness
from helpers.faults.harness import EVERY, STEPS, Server, kill, outcome, resumed_step, wait_until, write_recipe

from zoo.training import checkpoint

pytestmark = pytest.mark.slow


def finish(server: Server, arguments: list[str], processes: int = 1, injections: Any = ()) -> list[str]:
    children = server.several(processes, *arguments, injections=injections)
    codes = [server.wait(child) for child in children]
    assert codes == [0] * processes, "\n".join(child.text for child in children)
    return [child.text for child in children]


def reference(server: Server, folder: Path, processes: int) -> dict[str, Any]:
    folder.mkdir(parents=True)
    finish(server, ["train", str(write_recipe(folder))], processes)
    return outcome(folder / "runs" / "faults")


class Tally:
    """The number of kills, how many of them came during a save, and where they came."""

    def __init__(self) -> None:
        self.kills = self.in_saves = 0
        self.at: list[str] = []


def kill_once(
    server: Server, recipe: Path, processes: int, draw: random.Random, tally: Tally, seconds: float, more: list[list[Any]]
) -> bool:
    """Start or resume a run, kill it at a random moment, and check what is left; return whether the run is done."""
    runs, trace = recipe.parent / "runs", recipe.parent / "trace"
    arguments = ["train", str(recipe), "--resume", "auto"]
    injections = [["trace", str(trace)], ["slow_saves", 0.004], *more]
    trace.unlink(missing_ok=True)
    children = server.several(processes, *arguments, injections=injections)
    if draw.random() < 0.4:
        # Kill in the middle of a save, while its staging folder exists.
        wait_until(lambda: any(runs.glob("*/checkpoints/.step-*")) or children[0].pid in server.codes, seconds)
        time.sleep(draw.uniform(0, 0.04))
    else:
        time.sleep(draw.uniform(0.05, seconds))
    victims = children if draw.random() < 0.5 else [draw.choice(children)]
    kill(victims)
    codes = [server.wait(child) for child in children]
    if -9 not in codes:
        assert codes == [0] * processes, "\n".join(child.text for child in children)
        return True
    tally.kills += 1
    tally.in_saves += any(runs.glob("*/checkpoints/.step-*"))
    reached = int(trace.read_text() or 0) if trace.exists() else 0
    saved = max((step for folder in runs.glob("*/checkpoints") for step in checkpoint.steps(folder)), default=0)
    # Even if a checkpoint was being written, no more steps are lost than there are between two checkpoints.
    assert reached - saved <= EVERY, (reached, saved)
    text = "start" if not reached else "evaluation" if reached % (STEPS // 3) == 0 else f"step {reached}"
    tally.at.append(text)
    # A run that was killed after its last file was written is done: the same command would start a new run.
    return any(runs.glob("*/result.json"))


@pytest.mark.parametrize(("processes", "kills", "ahead"), [(1, 150, 0), (2, 50, 0), (1, 50, 2)])
def test_a_killed_run_ends_as_one_that_nothing_happened_to(
    server: Server, tmp_path: Path, processes: int, kills: int, ahead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(processes + ahead)
    # Only the killed runs have a thread that gathers batches ahead; the reference has none.
    feeder = [["feed_ahead", ahead]] if ahead else []
    started = time.monotonic()
    expected = reference(server, tmp_path / "reference", processes)
    seconds = time.monotonic() - started
    kills //= harness.share()
    tally, runs = Tally(), 0
    while tally.kills < kills:
        folder = tmp_path / f"run-{runs}"
        folder.mkdir()
        recipe = write_recipe(folder)
        for _ in range(draw.randint(1, 4)):
            if kill_once(server, recipe, processes, draw, tally, seconds, feeder):
                break
        else:
            console = finish(server, ["train", str(recipe), "--resume", "auto"], processes, feeder)[0]
            assert "warning" not in console, console
            if checkpointed := resumed_step(console):
                assert checkpointed % EVERY == 0 or checkpointed % (STEPS // 3) == 0
        # A run that was killed before its first checkpoint cannot be resumed: a new one starts in another folder.
        (done,) = (path.parent for path in (folder / "runs").glob("*/result.json"))
        assert outcome(done) == expected
        runs += 1
    with capsys.disabled():
        print(
            f"\n{tally.kills} kills of {processes} process(es) in {runs} runs, {tally.in_saves} within a save, at "
            f"{len(set(tally.at))} different steps; all runs ended with the same bits"
        )


def test_a_run_with_updates_that_is_killed_ends_as_one_that_nothing_happened_to(server: Server, tmp_path: Path) -> None:
    text = harness.RECIPE.replace("test_resnet", "test_efficientnet") + "finetune: {lora: {rank: 2, dropout: 0.1}}\n"
    ended = []
    for name, death in (("whole", ()), ("killed", [["at_step", 13, 0, "kill"]])):
        (tmp_path / name).mkdir()
        recipe = write_recipe(tmp_path / name, text)
        if death:
            code, console = server.run("train", str(recipe), injections=death)
            assert code == -9, console
        finish(server, ["train", str(recipe), "--resume", "auto"])
        ended.append(outcome(tmp_path / name / "runs" / "faults"))
    assert ended[0] == ended[1]


@pytest.mark.parametrize("broken", ["broken_order", "broken_dropout", "broken_save"])
def test_the_comparison_catches_a_broken_build(server: Server, tmp_path: Path, broken: str) -> None:
    def outcome_of(name: str, killed: bool) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        recipe = write_recipe(folder)
        if killed:
            # With `broken_save`, the save of step 3 is complete, and that of step 6 is killed after three of its five
            # files. The other two builds kill themselves in the second epoch: a kill from outside might come after the last step.
            death = ["kill_at_point", 3, 2, False] if broken == "broken_save" else ["at_step", 13, 0, "kill"]
            child = server.start("train", str(recipe), injections=[[broken], death])
            assert server.wait(child) == -9
        try:
            finish(server, ["train", str(recipe), *(["--resume", "auto"] if killed else [])], injections=[[broken]])
        except AssertionError:
            if not killed:
                raise
            return None  # no whole checkpoint was left
        return outcome(folder / "runs" / "faults")

    assert outcome_of("killed", killed=True) != outcome_of("whole", killed=False)


def points_of_a_save(server: Server, folder: Path) -> int:
    folder.mkdir()
    code, text = server.run("train", str(write_recipe(folder)), injections=[["kill_at_point", -1, 3, False]])
    assert code == 0, text
    return int(text.partition("points ")[2].split()[0])


@pytest.mark.parametrize("half", [False, True], ids=["before", "half way"])
def test_a_save_killed_at_any_point_leaves_one_verified_checkpoint(
    server: Server, tmp_path: Path, half: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = reference(server, tmp_path / "reference", 1)
    count = points_of_a_save(server, tmp_path / "points")
    # Five files are written; they and their folder are synced; the folder is renamed; and its parent folder is synced.
    assert count == 5 + 6 + 1 + 1
    tried = harness.some(list(range(count)))
    for point in tried:
        folder = tmp_path / f"{point}"
        folder.mkdir()
        recipe = write_recipe(folder)
        child = server.start("train", str(recipe), injections=[["kill_at_point", point, 3, half]])
        assert server.wait(child) == -9
        found, state, passed = checkpoint.newest(folder / "runs" / "faults" / "checkpoints")
        assert (state.state["step"], passed) in ((6, []), (8, [])), found
        finish(server, ["train", "--resume", str(folder / "runs" / "faults")])
        assert outcome(folder / "runs" / "faults") == expected
        assert not list((folder / "runs" / "faults" / "checkpoints").glob(".*"))
    with capsys.disabled():
        print(
            f"\nkilled at {len(tried)} of {count} points of a save: always one verified checkpoint, and the same bits in the end"
        )
